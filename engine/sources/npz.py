"""NumPy's .npz archives: stored arrays are mapped inside the zip, deflated ones spooled first.

Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, section 4.3.7.
"""

import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from engine.errors import InvalidInput, one_line
from engine.sources.acceptance import Dtypes, check_array
from engine.sources.mapped_rows import MappedRows
from engine.sources.naming import pick_name
from engine.sources.npy import read_npy_layout
from engine.sources.spool import spooled

MAGIC = b"PK"

# RuntimeError: an encrypted member, or a compression that this Python lacks.
_UNREADABLE = (BadZipFile, zlib.error, EOFError, RuntimeError)


def open_npz(path: Path, key: str | None, accept: Dtypes) -> MappedRows:
    """Open one array of a .npz archive: the one named `key`, or the only one.

    Raises:
        InvalidInput: the archive is damaged, the choice is open, or the array isn't acceptable.
        StorageError: no room to unpack a compressed array.
    """
    try:
        with path.open("rb") as file, ZipFile(file) as archive:
            members = {name.removesuffix(".npy"): name for name in _arrays(archive)}
            member = archive.getinfo(members[pick_name(path, key, sorted(members))])
            return _open_member(file, archive, member, path, accept)
    except _UNREADABLE as error:
        raise InvalidInput(f"{path}: damaged .npz archive ({one_line(error)})") from error


def _arrays(archive: ZipFile) -> list[str]:
    return [name for name in archive.namelist() if name.endswith(".npy")]


def _open_member(
    file: BinaryIO, archive: ZipFile, member: ZipInfo, path: Path, accept: Dtypes
) -> MappedRows:
    key = member.filename.removesuffix(".npy")
    where, name = f"{path}::{key}", f"{path.name}::{key}"
    with archive.open(member) as stream:
        layout = read_npy_layout(stream, where)
        check_array(where, layout.shape, layout.dtype, accept)
        layout.check_complete(where, member.file_size)
        if member.compress_type == ZIP_STORED:
            start = _data_start(file, member)
            return MappedRows(name, file, replace(layout, offset_bytes=start + layout.offset_bytes))
        with spooled(stream, layout.size_bytes, where) as unpacked:
            return MappedRows(name, unpacked, replace(layout, offset_bytes=0))


def _data_start(file: BinaryIO, member: ZipInfo) -> int:
    """Return where the member's bytes begin, by the header in front of them.

    The lengths of its name and extra field may differ from those in the central directory.
    """
    file.seek(member.header_offset + 26)
    name_bytes, extra_bytes = struct.unpack("<HH", file.read(4))
    return member.header_offset + 30 + int(name_bytes) + int(extra_bytes)
