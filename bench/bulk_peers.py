"""Works of the bulk benchmark that stand for what users would do instead of a latent store."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.equal_quality import PEERS, tune
from bench.raw_zarr import COMPRESSORS, folder_bytes, write_raw_zarr
from bench.timing import Work
from bench.torch_script import encode_and_measure_with_torch, encode_with_torch
from bench.workloads import Workload
from engine.comparing.peers.pcodec import Pcodec
from engine.runtime.device import available_cores

SCRIPT = "torch script, latents"
MEASURING_SCRIPT = "torch script, latents and errors"
TUNED_CHUNKS = 1

Sizes = dict[str, dict[str, Any]]


def script_works(workload: Workload, samples: NDArray[Any], folder: Path) -> dict[str, Work]:
    """A loop in torch with the very modules of the codec, on all cores."""
    import torch

    torch.set_num_threads(available_cores())
    data, out = folder / "script.npy", folder / "latents.npy"
    np.save(data, samples)
    encoder, decoder = workload.encoder, workload.decoder
    return {
        SCRIPT: Work(lambda _: encode_with_torch(encoder, data, out), len(samples)),
        MEASURING_SCRIPT: Work(
            lambda _: encode_and_measure_with_torch(encoder, decoder, data, out), len(samples)
        ),
    }


def zarr_works(
    samples: NDArray[Any], chunk_samples: int, folder: Path
) -> tuple[dict[str, Work], Sizes]:
    """The raw samples in Zarr, written once already for the sizes."""
    works, sizes = {}, {}
    for name in COMPRESSORS:
        path = folder / f"{name}.zarr"
        works[name] = Work(_writing(path, samples, chunk_samples, name), len(samples))
        works[name].run(0)
        sizes[name] = {"sample_bytes": folder_bytes(path) / len(samples), "psnr_db": None}
    return works, sizes


def coder_works(
    samples: NDArray[Any], chunk_samples: int, psnr_db: float
) -> tuple[dict[str, Work], Sizes]:
    """Chunks of raw samples coded on all cores: pcodec, and lossy codecs tuned to `psnr_db`.

    Nothing is written. zarr-python's own pcodec refuses uint8.
    """
    chunks = [samples[at : at + chunk_samples] for at in range(0, len(samples), chunk_samples)]
    works, sizes = {}, {}
    if (pcodec := Pcodec()).is_installed:
        coded = [len(pcodec.encode(chunk, 0)) for chunk in chunks]
        sizes[pcodec.name] = {"sample_bytes": sum(coded) / len(samples), "psnr_db": None}
        works[pcodec.name] = Work(_coding(lambda c: pcodec.encode(c, 0), chunks), len(samples))
    for peer in (peer for peer in PEERS if peer.is_installed):
        tuned = tune(peer, chunks[:TUNED_CHUNKS], psnr_db)
        sizes[peer.name] = {"sample_bytes": tuned.sample_bytes, "psnr_db": tuned.psnr_db}
        works[peer.name] = Work(_coding(tuned.encode, chunks), len(samples))
    return works, sizes


def missing_peers() -> list[str]:
    """A line for every peer that isn't installed."""
    return [
        f"{peer.name} is left out: {peer.package} is not installed"
        for peer in (Pcodec(), *PEERS)
        if not peer.is_installed
    ]


def _writing(
    path: Path, samples: NDArray[Any], chunk_samples: int, name: str
) -> Callable[[int], object]:
    return lambda _: write_raw_zarr(path, samples, chunk_samples, name)


def _coding(
    encode: Callable[[NDArray[Any]], bytes], chunks: list[NDArray[Any]]
) -> Callable[[int], object]:
    def code_all(_: int) -> None:
        with ThreadPoolExecutor(available_cores()) as pool:
            list(pool.map(encode, chunks))

    return code_all
