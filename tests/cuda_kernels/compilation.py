"""Compiles what a launcher would launch, as Triton itself would: that needs no GPU."""

import contextlib
import io
import re
import tempfile
from dataclasses import dataclass

import numpy as np
import pytest

CAPABILITIES = (80, 90, 100)


def in_quick_tests(dtypes):
    """Parameters (capability, dtype): all dtypes on one capability, elsewhere a few or slow."""
    return [
        pytest.param(
            capability,
            dtype,
            marks=[] if capability == 90 or dtype in ("u1", "f4") else pytest.mark.slow,
            id=f"{capability}-{dtype}",
        )
        for capability in CAPABILITIES
        for dtype in dtypes
    ]


@dataclass(frozen=True)
class Placeholder:
    """An array without memory: launchers look at no more than this."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def data_ptr(self):
        return 256  # allocations of CUDA are at least so aligned


@dataclass(frozen=True)
class Device:
    """What Triton asks its driver before it compiles, on a machine with a GPU."""

    capability: int

    def get_current_device(self):
        return self.capability

    def get_current_stream(self, device):
        return 0

    def get_current_target(self):
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", self.capability, 32)


@dataclass(frozen=True)
class Compiled:
    """A kernel as Triton keeps it, by kind of code, and what each thread of it uses."""

    code: dict
    registers: int
    stack_bytes: int
    spilled_bytes: int

    @property
    def ptx(self):
        return self.code["ptx"]

    @property
    def machine_code(self):
        return self.code["sass"]


def compile_launch(capability, launcher, *arguments):
    """The kernel that `launcher(*arguments)` launches on a GPU of `capability`, compiled afresh."""
    ((kernel, launched),) = launched_by(launcher, *arguments, capability=capability)
    import triton

    source = triton.compiler.ASTSource(
        kernel, launched["signature"], launched["constants"], launched["configs"][0]
    )
    options = {name: launched[name] for name in ("num_warps", "enable_fp_fusion")}
    log = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as cache,
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(log),
    ):
        patch.setenv("TRITON_CACHE_DIR", cache)
        patch.setenv("TRITON_DUMP_PTXAS_LOG", "1")
        target = Device(capability).get_current_target()
        compiled = triton.compile(source, target=target, options=options)
    return Compiled(compiled.asm, *_usage(log.getvalue()))


def launched_by(launcher, *arguments, capability=90):
    """The kernels that `launcher` launches, and how; Triton's hook ends it before it compiles."""
    triton = pytest.importorskip("triton")
    launches = []

    def hook(*, fn, compile, **_):
        launches.append((fn.jit_function, compile))
        return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triton.runtime.driver, "_active", Device(capability))
        patch.setattr(triton.knobs.runtime, "jit_cache_hook", hook)
        launcher(*arguments)
    return launches


def _usage(log):
    """Registers, bytes of stack and bytes spilled and loaded again, from the log of ptxas."""
    stack, stores, loads = re.search(
        r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", log
    ).groups()
    (registers,) = re.search(r"Used (\d+) registers", log).groups()
    return int(registers), int(stack), int(stores) + int(loads)


def assert_sane(compiled, capability, most_registers):
    """Fail unless a kernel stays in registers, and rounds as its source says it does."""
    assert compiled.code["cubin"].startswith(b"\x7fELF")
    assert f".target sm_{capability}" in compiled.ptx
    assert compiled.registers <= most_registers
    assert compiled.stack_bytes == compiled.spilled_bytes == 0
    assert ".local" not in compiled.ptx
    for inexact in ("fma.", "div.full", ".approx", ".ftz"):
        assert inexact not in compiled.ptx
