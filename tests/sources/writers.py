"""The same array written as every kind of data that a source reads."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zarr
from PIL import Image

IDX_CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array: np.ndarray) -> bytes:
    header = struct.pack(">BBBB", 0, 0, IDX_CODES[array.dtype.str[1:]], array.ndim)
    axes = struct.pack(f">{array.ndim}I", *array.shape)
    return header + axes + array.astype(array.dtype.newbyteorder(">")).tobytes()


def npy(folder: Path, array: np.ndarray) -> Path:
    np.save(folder / "x.npy", array)
    return folder / "x.npy"


def npy_fortran(folder: Path, array: np.ndarray) -> Path:
    return npy(folder, np.asfortranarray(array))


def npy_big_endian(folder: Path, array: np.ndarray) -> Path:
    return npy(folder, array.astype(array.dtype.newbyteorder(">")))


def npy_version_2(folder: Path, array: np.ndarray) -> Path:
    with (folder / "x.npy").open("wb") as file:
        np.lib.format.write_array(file, array, version=(2, 0))
    return folder / "x.npy"


def npz_stored(folder: Path, array: np.ndarray) -> Path:
    np.savez(folder / "x.npz", odd=array)
    return folder / "x.npz"


def npz_deflated(folder: Path, array: np.ndarray) -> Path:
    np.savez_compressed(folder / "x.npz", np.asfortranarray(array))
    return folder / "x.npz"


def npz_member(folder: Path, array: np.ndarray) -> str:
    np.savez(folder / "x.npz", first=array[:1], second=array)
    return f"{folder / 'x.npz'}::second"


def idx(folder: Path, array: np.ndarray) -> Path:
    (folder / "x-idx3-ubyte").write_bytes(idx_bytes(array))
    return folder / "x-idx3-ubyte"


def idx_gzipped(folder: Path, array: np.ndarray) -> Path:
    (folder / "x-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(array)))
    return folder / "x-idx3-ubyte.gz"


def zarr_v3(folder: Path, array: np.ndarray) -> Path:
    zarr.create_array(folder / "x.zarr", data=array, chunks=(3, *array.shape[1:]))
    return folder / "x.zarr"


def zarr_v2(folder: Path, array: np.ndarray) -> Path:
    zarr.create_array(folder / "x.zarr", data=array, chunks=array.shape, zarr_format=2)
    return folder / "x.zarr"


def zarr_member(folder: Path, array: np.ndarray) -> str:
    group = zarr.create_group(folder / "x.zarr")
    group.create_array("a/b", data=array)
    group.create_array("c", data=array[:1])
    return f"{folder / 'x.zarr'}::a/b"


def images(folder: Path, array: np.ndarray, suffix: str = ".png") -> Path:
    (folder / "images").mkdir()
    for row, pixels in enumerate(array):
        Image.fromarray(pixels).save(folder / "images" / f"{row}{suffix}")
    return folder / "images"


def in_memory(folder: Path, array: np.ndarray) -> np.ndarray:
    return array


def strided(folder: Path, array: np.ndarray) -> np.ndarray:
    return np.repeat(array, 2, axis=0)[::2]


def memory_map(folder: Path, array: np.ndarray) -> np.ndarray:
    return np.load(npy(folder, array), mmap_mode="r")


def memory_map_view(folder: Path, array: np.ndarray) -> np.ndarray:
    return np.load(npy(folder, np.concatenate([array[:2], array])), mmap_mode="r")[2:]


def memory_map_fortran(folder: Path, array: np.ndarray) -> np.ndarray:
    return np.load(npy_fortran(folder, array), mmap_mode="r")


def zarr_array(folder: Path, array: np.ndarray) -> zarr.Array:
    return zarr.open_array(zarr_v3(folder, array), mode="r")


def lists(folder: Path, array: np.ndarray) -> list[np.ndarray]:
    return list(array)


KINDS: dict[str, Callable[[Path, np.ndarray], object]] = {
    kind.__name__: kind
    for kind in (
        npy,
        npy_fortran,
        npy_big_endian,
        npy_version_2,
        npz_stored,
        npz_deflated,
        npz_member,
        idx,
        idx_gzipped,
        zarr_v3,
        zarr_v2,
        zarr_member,
        images,
        in_memory,
        strided,
        memory_map,
        memory_map_view,
        memory_map_fortran,
        zarr_array,
        lists,
    )
}
