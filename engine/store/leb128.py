"""Integers as LEB128: seven bits a byte, the low ones first; those below 0 are folded before."""

from __future__ import annotations

import base64
from collections.abc import Iterable

import numpy as np

_BYTES = np.arange(3)  # of a number, at most
_PLACES = 7 * _BYTES


def fold(number: int) -> int:
    """0, -1, 1, -2 ... as 0, 1, 2, 3 ..."""
    return 2 * number if number >= 0 else -2 * number - 1


def unfold(folded: int) -> int:
    """Undo `fold`."""
    return folded >> 1 if folded % 2 == 0 else -(folded + 1 >> 1)


def to_text(numbers: Iterable[int]) -> str:
    """Numbers from 0 to 2**21 - 1 as LEB128, in Base64; ValueError for others."""
    values = np.fromiter(numbers, np.int64)[:, np.newaxis]
    if ((values < 0) | (values >= 1 << 7 * _BYTES.size)).any():
        raise ValueError("a number that takes more than three bytes")
    bytes_after = (values >= 1 << _PLACES[1:]).sum(axis=1, keepdims=True)
    groups = values >> _PLACES & 0x7F | np.where(bytes_after > _BYTES, 0x80, 0)
    content = groups[bytes_after >= _BYTES].astype(np.uint8)
    return base64.b64encode(content.tobytes()).decode()


def from_text(text: str) -> list[int]:
    """Undo `to_text`.

    Raises:
        ValueError: it isn't Base64, or holds other numbers.
        TypeError: it is no text.
    """
    content = np.frombuffer(base64.b64decode(text, validate=True), np.uint8).astype(np.int32)
    ends = np.flatnonzero(content < 0x80) + 1
    if (ends[-1] if ends.size else 0) != content.size:
        raise ValueError("a number is cut off")
    lengths = np.diff(ends, prepend=0)
    if lengths.max(initial=0) > _BYTES.size:
        raise ValueError("a number of more than three bytes")
    places = np.arange(content.size) - np.repeat(ends - lengths, lengths)
    groups = (content & 0x7F) << 7 * places  # of 21 bits at most
    return np.add.reduceat(groups, ends - lengths).tolist() if ends.size else []
