"""Size under an error bound or without loss, beside SZ3, ZFP, pcodec, zstd and JPEG XL.

Every error is measured after a real decode. A peer codes chunks of as many samples as the store's,
in the layout that is smallest on the first of them ("chunked"), and the whole data set as one array
("whole"); no container is added to its bytes. Of the store every byte on the disk counts. Its codec
is principal components of the first half of the data; for noise, constants and masked fields it is
that of the digits or of the turbulence. All of the data is compressed.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import engine
from bench.bounded_data import DataSet, data_sets, has_photographs
from bench.principal_components import pack_principal_components
from engine.comparing.fidelity import max_abs_error
from engine.comparing.layouts import lay, unlay
from engine.comparing.peers.blosc import Blosc
from engine.comparing.peers.jpeg_xl import LosslessJpegXl
from engine.comparing.peers.masked import Masked, is_masked
from engine.comparing.peers.pcodec import Pcodec
from engine.comparing.peers.peer import Peer, Refused
from engine.comparing.peers.quantised import Quantised
from engine.comparing.peers.sz3 import Sz3
from engine.comparing.peers.zfp import BoundedZfp
from engine.comparing.peers.zstd import Zstd
from engine.runtime.device import available_cores
from engine.store.contents import StoreContents
from engine.store.ledger import Mode

PEERS: tuple[Peer, ...] = (
    Zstd(3),
    Zstd(19),
    Blosc(),
    Pcodec(),
    LosslessJpegXl(),
    Sz3(),
    BoundedZfp(),
    *(Quantised(coder) for coder in (Zstd(3), Zstd(19), Pcodec(), LosslessJpegXl())),
)


@dataclass(frozen=True)
class Row:
    """What one codec made of one data set under one bound; sizes in bytes a sample.

    `chunked` is the size in chunks as large as the store's, `whole` that of everything as one
    array, `without_networks` that of a store but for its codec. `flaw` is empty where the measured
    error is within the bound and masked elements came back bit for bit.
    """

    codec: str
    note: str = ""
    flaw: str = ""
    chunked: float | None = None
    whole: float | None = None
    without_networks: float | None = None
    max_abs_error: float | None = None


def run() -> dict[str, Any]:
    """Measure store and peers on every data set; returns all rows."""
    for peer in PEERS:
        if not peer.is_installed:
            print(f"{peer.name} is left out: {peer.package} is not installed")
    if not has_photographs():
        print("photographs are left out: scikit-image is not installed")
    with tempfile.TemporaryDirectory() as folder:
        return {data.name: _measure(data, Path(folder)) for data in data_sets()}


def _measure(data: DataSet, folder: Path) -> dict[str, Any]:
    samples = data.samples
    title = f"{data.name}: {len(samples)} samples {samples.shape[1:]} {samples.dtype}"
    print(f"\n{title}, {samples[0].nbytes} bytes each, chunks of {data.chunk_samples}")
    tables = measure_peers(data)
    for name, bound in data.bounds.items():
        tables[name].insert(0, _measure_store(data, bound, folder))
        print_rows(f"{name} (E = {bound:.6g})", tables[name], samples[0].nbytes)
    return {
        "samples": len(samples),
        "sample_bytes": samples[0].nbytes,
        "chunk_samples": data.chunk_samples,
        "bounds": dict(data.bounds),
        "rows": {name: [dataclasses.asdict(row) for row in rows] for name, rows in tables.items()},
    }


def measure_peers(data: DataSet) -> dict[str, list[Row]]:
    """Rows of all peers that are installed, by bound; lossless ones are measured once."""
    here = [peer for peer in PEERS if peer.is_installed]
    with ThreadPoolExecutor(available_cores()) as pool:
        exact = [pool.submit(_measure_peer, peer, data, 0.0) for peer in here if peer.lossless]
        tables = {
            name: [pool.submit(_measure_peer, peer, data, bound) for peer in _lossy(data, bound)]
            for name, bound in data.bounds.items()
        }
        return {
            name: [future.result() for future in (*exact, *futures)]
            for name, futures in tables.items()
        }


def _lossy(data: DataSet, bound: float) -> list[Peer]:
    """Peers that use the bound; to quantise to bound 0 is to do nothing."""
    peers = [peer for peer in PEERS if peer.is_installed and not peer.lossless]
    peers = [peer for peer in peers if bound or not isinstance(peer, Quantised)]
    if data.fill_value is None:
        return peers
    return peers + [Masked(peer, data.fill_value) for peer in peers]


def _measure_peer(peer: Peer, data: DataSet, bound: float) -> Row:
    samples, size = data.samples, data.chunk_samples
    chunks = [samples[start : start + size] for start in range(0, len(samples), size)]
    try:
        layout = min(peer.layouts, key=lambda name: len(peer.encode(lay(chunks[0], name), bound)))
        parts = [_round_trip(peer, chunk, layout, bound) for chunk in chunks]
        whole_bytes, whole = _round_trip(peer, samples, layout, bound)
    except Refused as refusal:
        return Row(peer.name, flaw=f"refuses: {refusal}")
    decoded = np.concatenate([part for _, part in parts])
    return Row(
        peer.name,
        layout,
        chunked=sum(part_bytes for part_bytes, _ in parts) / len(samples),
        whole=whole_bytes / len(samples),
        max_abs_error=max(max_abs_error(samples, found) for found in (decoded, whole)),
        flaw=_flaw(data, bound, decoded) or _flaw(data, bound, whole),
    )


def _round_trip(
    peer: Peer, samples: NDArray[Any], layout: str, bound: float
) -> tuple[int, NDArray[Any]]:
    """Encoded bytes and decoded samples."""
    array = lay(samples, layout)
    encoded = peer.encode(array, bound)
    decoded = peer.decode(encoded, array.shape, array.dtype)
    return len(encoded), unlay(decoded, layout, samples.shape)


def _measure_store(data: DataSet, bound: float, folder: Path) -> Row:
    path = folder / "store.zarr"
    promise: dict[str, Any] = {"max_error": bound} if bound else {"lossless": True}
    report = engine.compress(
        data.samples,
        path,
        _codec(data, folder),
        chunk_samples=data.chunk_samples,
        keep_latents=False,
        keep_encoder=False,
        nonfinite="keep",
        **promise,
    )
    with engine.open(path) as store:
        decoded = np.asarray(store)
    size_bytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    row = Row(
        "engine",
        _modes(path),
        chunked=size_bytes / len(data.samples),
        without_networks=(size_bytes - report.codec_bytes) / len(data.samples),
        max_abs_error=max_abs_error(data.samples, decoded),
        flaw=_flaw(data, bound, decoded),
    )
    shutil.rmtree(path)
    return row


def _modes(path: Path) -> str:
    """How many shards are kept which way."""
    counts = Counter(Mode(int(mode)).name.lower() for mode in StoreContents(path).ledger["mode"])
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def _codec(data: DataSet, folder: Path) -> engine.Codec:
    path = folder / f"{data.codec}.codec"
    if path.exists():
        return engine.Codec.load(path, "cpu")
    return pack_principal_components(data.fitted, data.components, path)


def _flaw(data: DataSet, bound: float, decoded: NDArray[Any]) -> str:
    """What a round trip broke: the bound, or the bits of what is no data."""
    if max_abs_error(data.samples, decoded) > bound:
        return "BOUND VIOLATED"
    if data.fill_value is None:
        return ""
    masked = is_masked(data.samples, data.fill_value)
    return "" if data.samples[masked].tobytes() == decoded[masked].tobytes() else "MASK LOST"


def print_rows(title: str, rows: list[Row], sample_bytes: int) -> None:
    """Print one table, the smallest codec without a flaw first; sizes in bytes a sample."""
    print(f"  {title}\n  {'':32}{'chunked':>9}{'ratio':>9}{'whole':>9}{'max error':>11}")
    for row in sorted(rows, key=lambda row: (row.flaw, row.chunked)):
        if row.chunked is None:
            print(f"  {row.codec:32}{row.flaw}")
            continue
        whole = "" if row.whole is None else f"{row.whole:.1f}"
        print(
            f"  {row.codec:32}{row.chunked:9.1f}{sample_bytes / row.chunked:9.2f}{whole:>9}"
            f"{row.max_abs_error:11.4g}  {row.note}  {row.flaw}".rstrip()
        )
