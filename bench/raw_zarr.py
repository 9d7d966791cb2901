"""What users do without a codec: the raw samples in Zarr, in chunks of as many rows as the store's.

Arrays are written by zarr-python without shards, which is its quickest way to write and to read a
row, and read by zarr-python or tensorstore.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

ZSTD = "zarr zstd-3"
COMPRESSORS: dict[str, tuple[str, dict[str, Any]]] = {
    ZSTD: ("zstd", {"level": 3}),
    "zarr blosc zstd-5": ("blosc", {"cname": "zstd", "clevel": 5, "shuffle": "shuffle"}),
    "zarr blosc lz4": ("blosc", {"cname": "lz4", "clevel": 5, "shuffle": "shuffle"}),
}


def write_raw_zarr(
    path: Path, samples: NDArray[Any], chunk_samples: int, compressor: str = ZSTD
) -> Any:
    """Write all samples with one of the `COMPRESSORS`; returns the array of zarr-python."""
    import zarr

    name, configuration = COMPRESSORS[compressor]
    array = zarr.create_array(
        path,
        shape=samples.shape,
        chunks=(chunk_samples, *samples.shape[1:]),
        dtype=samples.dtype,
        compressors={"name": name, "configuration": configuration},
        overwrite=True,
    )
    array[:] = samples
    return array


def open_tensorstore(path: Path) -> Any | None:
    """The same array in tensorstore, or None where that isn't installed."""
    try:
        import tensorstore
    except ModuleNotFoundError:
        print("tensorstore is left out: it is not installed")
        return None
    kvstore = {"driver": "file", "path": str(path)}
    return tensorstore.open({"driver": "zarr3", "kvstore": kvstore}).result()


def folder_bytes(path: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
