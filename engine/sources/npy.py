"""NumPy's .npy files, read where they lie.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

import os
import warnings
from pathlib import Path
from typing import IO

from numpy.lib import format as npy_format

from engine.errors import InvalidInput, one_line
from engine.sources.acceptance import Dtypes, check_array
from engine.sources.mapped_rows import MappedRows, RawLayout

MAGIC = b"\x93NUMPY"


def open_npy(path: Path, accept: Dtypes) -> MappedRows:
    """Open the array in a .npy file.

    Raises:
        InvalidInput: the header is damaged, the file is truncated, or its array isn't acceptable.
    """
    with path.open("rb") as file:
        layout = read_npy_layout(file, path)
        check_array(path, layout.shape, layout.dtype, accept)
        layout.check_complete(path, os.fstat(file.fileno()).st_size)
        return MappedRows(path.name, file, layout)


def read_npy_layout(stream: IO[bytes], where: object) -> RawLayout:
    """Read the header at the start of `stream`, and leave the stream at the first element.

    Raises:
        InvalidInput: this is no .npy header.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # about files of Python 2
            if npy_format.read_magic(stream) == (1, 0):
                header = npy_format.read_array_header_1_0(stream)
            else:
                header = npy_format.read_array_header_2_0(stream)
    except OSError:
        raise
    except Exception as error:  # the parser lets through whatever a damaged header provokes
        raise InvalidInput(f"{where}: damaged .npy header ({one_line(error)})") from error
    shape, fortran_order, dtype = header
    return RawLayout(shape, dtype, stream.tell(), fortran_order)
