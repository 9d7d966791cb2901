"""Small stores of every guarantee and of every way to keep a shard, with what made each of them."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import engine

SAMPLES, SHAPE = 22, (4, 6)
CHUNK_SAMPLES, SHARD_SAMPLES = 4, 8  # three shards of two chunks, the last one short
SHARDS = 3


@dataclass(frozen=True)
class KeptStore:
    """A store, and the job that wrote it. Copy it to damage it."""

    path: Path
    data: Any
    codec: Any
    options: dict

    def copy(self, path):
        return shutil.copytree(self.path, path)

    def compress(self, path, **changes):
        """The same job again, with some arguments changed."""
        job = {"data": self.data, "codec": self.codec, "device": "cpu", "threads": 1}
        return engine.compress(store=path, **job | self.options | changes)

    def repair(self, path, **options):
        return engine.repair(path, self.data, **{"device": "cpu"} | options)


def smooth(rank=2, seed=0):
    """Samples that a linear network of `rank` latents nearly holds, float32."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(size=(SAMPLES, rank)) @ rng.normal(size=(rank, np.prod(SHAPE)))
    noisy = waves + 0.003 * rng.normal(size=waves.shape)
    return noisy.astype(np.float32).reshape(SAMPLES, *SHAPE)


def rough(seed=1):
    """Samples that no network holds, float32."""
    return np.random.default_rng(seed).normal(size=(SAMPLES, *SHAPE)).astype(np.float32)


def mixed():
    """Smooth samples, rough ones, and gaps in some of the others."""
    samples = smooth()
    samples[SHARD_SAMPLES : 2 * SHARD_SAMPLES] = rough()[:SHARD_SAMPLES]
    samples[[0, 1, 2, 20], 1] = np.nan
    samples[20, 2, 2] = -np.inf
    return samples


def gapped():
    samples = smooth()
    samples[::3, 1] = np.nan
    return samples


def whole_numbers():
    """Smooth samples and rough ones, int16."""
    samples = (30 * smooth()).round()
    samples[16:] = 1000 * rough()[16:]
    return samples.astype(np.int16)


def sidecars():
    texts = np.array(["", "zero", "übermäßig", "日本語"])
    return {"label": np.arange(SAMPLES) * 3, "text": np.resize(texts, SAMPLES)}


KINDS = {
    "none": (smooth, {"sidecars": sidecars()}),
    "gaps": (gapped, {"nonfinite": "keep"}),
    "max error": (mixed, {"max_error": 0.01, "sidecars": sidecars()}),
    "quantised": (mixed, {"max_error": 0.01, "keep_latents": False, "sidecars": sidecars()}),
    "lossless": (whole_numbers, {"lossless": True}),
    "verbatim": (rough, {"lossless": True, "keep_latents": False}),
    "min PSNR": (mixed, {"min_psnr": 60.0, "portable": True}),
}


def make_kept_store(kind, folder, make_codec):
    """Write the store of a kind below `folder`."""
    make_data, options = KINDS[kind]
    data = make_data()
    sizes = {"chunk_samples": CHUNK_SAMPLES, "shard_samples": SHARD_SAMPLES}
    fitted = smooth() if data.dtype.kind == "f" else data
    job = KeptStore(folder / "kept.zarr", data, make_codec(fitted, 2, 16), options | sizes)
    job.compress(job.path)
    return job


def object_names(store):
    """Every object of a store, sorted."""
    return sorted(p.relative_to(store).as_posix() for p in store.rglob("*") if p.is_file())


def shard_names(store):
    """The objects of its shards."""
    return [name for name in object_names(store) if shard_of(name) is not None]


def shard_of(name):
    """Number of the shard that an object belongs to, None of others."""
    array, found, place = name.partition("/c/")
    if not found or not array.startswith("data/part-0/") or array.endswith(("ledger", "commits")):
        return None
    return int(place.split("/")[0])
