"""Jobs that are killed or failed by the operating system, and what must hold of them afterwards."""

import contextlib
import copy
import hashlib
import json
import secrets
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import engine

from ..laws import assert_same_tree

KILLED, ENDED = signal.SIGKILL, 0

CHANGES = ("create", "write", "sync", "rename", "mkdir", "remove", "rmdir")
LOOKS = ("open", "read", "map", "stat", "list")
KINDS = (*CHANGES, *LOOKS, "lock")
FRESH_SEED = "a new one every time"


@dataclass(frozen=True)
class Outcome:
    """How a job of a child ended, and how many operations of each kind it did."""

    status: int
    result: object = None
    error: str | None = None
    message: str = ""
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """At the `at`-th operation of `kinds`, `act`; see `Faults` in failing_job.py."""

    kinds: tuple[str, ...] = KINDS
    at: int = 0
    act: str | int = "kill"
    lasting: bool = False
    limit_bytes: int = 0


NO_FAULT = Fault()


class FailingProcess:
    """The process of failing_job.py, which runs jobs in children; `prefix` is what starts it."""

    def __init__(self, *prefix):
        script = [*prefix, sys.executable, Path(__file__).with_name("failing_job.py")]
        self._process = subprocess.Popen(
            script, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.pid = self._process.pid

    def __call__(self, call, arguments, roots, fault=NO_FAULT, kill_after_s=None):
        request = {"call": call, "arguments": arguments, "roots": roots}
        request |= {"fault": vars(fault), "kill_after_s": kill_after_s}
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return Outcome(**json.loads(self._process.stdout.readline()))

    def close(self):
        with self._process:
            self._process.stdin.close()


class Job:
    """A compress job over saved arrays, run here or, to be interrupted, in a child.

    Attributes:
        whole: the store that it writes when nothing interrupts it.
        counts: the operations that this takes, by kind.
    """

    def __init__(self, process, folder, data, labels, codec, **options):
        self.process, self.folder, self.samples = process, folder, len(data)
        np.save(folder / "data.npy", data)
        np.save(folder / "labels.npy", labels)
        codec.save(folder / "it.codec")
        self._arguments = {
            "data": str(folder / "data.npy"),
            "codec": str(folder / "it.codec"),
            "sidecars": {"label": str(folder / "labels.npy")},
            "device": "cpu",
            **options,
        }
        self.whole, self._old = folder / "whole.zarr", None
        calm = self.interrupt(self.whole)
        check_refusal(calm)  # by no error at all
        self.counts = calm.counts
        self._readings = [reading(self.whole)]

    def overwriting(self, step):
        """The same job with a store of another step in its place, which it is told to replace."""
        job = copy.copy(self)
        job._old = self.folder / "old.zarr"
        self.run(job._old, step=step)
        job._arguments = self._arguments | {"overwrite": True}
        job._readings = [*self._readings, reading(job._old)]
        job.counts = job.interrupt(job.prepared(self.folder / "replaced.zarr")).counts
        return job

    def prepared(self, store):
        """`store`, with what lies there before the job."""
        if self._old is not None:
            shutil.copytree(self._old, store)
        return store

    def run(self, store, **options):
        return engine.compress(store=store, **self._arguments | options)

    def command(self, store):
        """The job as a command line."""
        flags = []
        for name, value in self._arguments.items():
            if name not in ("data", "sidecars"):
                flag = f"--{name.replace('_', '-')}"
                if isinstance(value, bool):
                    flags += [flag if value else flag.replace("--keep-", "--no-")]
                else:
                    flags += [flag, str(value)]
        labels = f"label={self._arguments['sidecars']['label']}"
        command = [sys.executable, "-m", "engine", "compress", self._arguments["data"], str(store)]
        return [*command, "--with", labels, *flags]

    def interrupt(self, store, fault=NO_FAULT, *, kill_after_s=None, process=None, **options):
        """Run it in a child; with one thread the order of the operations is always the same."""
        arguments = self._arguments | {"store": str(store), "threads": 1} | options
        roots = [str(store), str(self.folder)]
        return (process or self.process)("compress", arguments, roots, fault, kill_after_s)

    def check_untorn(self, store):
        """What an interrupted job left reads as an error or right, and never as half a store."""
        try:
            found = reading(store)
        except (engine.IncompleteStore, engine.InvalidInput):
            return
        except engine.CorruptStore as error:
            assert "not a latent store" in str(error)
        else:
            assert found in self._readings

    def check_goes_on(self, store, **options):
        """The same job, run once more, leaves the very bytes of one that nothing interrupted."""
        self.check_untorn(store)
        assert self.run(store, **options).samples == self.samples
        assert_same_tree(store, self.whole)


def reading(store):
    """All that the samples of a store are, bit for bit."""
    with engine.open(store, device="cpu") as opened:
        samples = np.asarray(opened)
    return [samples.dtype.str, list(samples.shape), hashlib.sha256(samples).hexdigest()]


def check_refusal(outcome, *errors):
    """The job ended well, or said in one line why not."""
    assert outcome.status == ENDED
    assert "\n" not in outcome.message
    assert outcome.error in (None, *errors), outcome.message


def generator(seed):
    """Random numbers; of a fresh seed, which is printed."""
    seed = secrets.randbits(32) if seed == FRESH_SEED else seed
    print("seed", seed)
    return np.random.default_rng(seed)


def draw_fault(rng, counts, kinds=KINDS, **more):
    """A fault at a random operation of a random kind, so that rare kinds have their turn."""
    kind = str(rng.choice([kind for kind in kinds if counts.get(kind)]))
    return Fault((kind,), int(rng.integers(1, counts[kind] + 1)), **more)


@dataclass(frozen=True)
class Disk:
    """A small file system: the process that has it mounted, and its path there and elsewhere."""

    process: FailingProcess
    inside: Path
    outside: Path


@contextlib.contextmanager
def small_disk(folder, size_bytes):
    """A disk of `size_bytes`, mounted at `folder`; None where that isn't allowed.

    It takes Linux and leave to make user namespaces, not root.
    """
    mount = f"mount -t tmpfs -o size={size_bytes} none '{folder}'"
    prefix = ["unshare", "--map-root-user", "--mount", "sh", "-ec"]
    try:
        subprocess.run([*prefix, mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        yield None
        return
    process = FailingProcess(*prefix, f'{mount}; exec "$@"', "sh")
    try:
        process("read", {"path": str(folder)}, [])  # answers once the disk is mounted
        yield Disk(process, folder, Path(f"/proc/{process.pid}/root{folder.resolve()}"))
    finally:
        process.close()
