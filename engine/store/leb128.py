"""Integers as LEB128: seven bits a byte, the low ones first; those below 0 are folded before."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator

_MOST_BITS = 21  # of a number: three bytes


def fold(number: int) -> int:
    """0, -1, 1, -2 ... as 0, 1, 2, 3 ..."""
    return 2 * number if number >= 0 else -2 * number - 1


def unfold(folded: int) -> int:
    """Undo `fold`."""
    return folded >> 1 if folded % 2 == 0 else -(folded + 1 >> 1)


def to_text(numbers: Iterable[int]) -> str:
    """Numbers from 0 to 2**21 - 1 as LEB128, in Base64."""
    return base64.b64encode(b"".join(map(_leb128, numbers))).decode()


def from_text(text: str) -> list[int]:
    """Undo `to_text`.

    Raises:
        ValueError: it isn't Base64, or holds other numbers.
        TypeError: it is no text.
    """
    return list(_numbers(base64.b64decode(text, validate=True)))


def _leb128(number: int) -> bytes:
    groups = [number >> place & 0x7F for place in range(0, max(1, number.bit_length()), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def _numbers(content: bytes) -> Iterator[int]:
    number = place = 0
    for byte in content:
        number |= (byte & 0x7F) << place
        place += 7
        if place > _MOST_BITS:
            raise ValueError("a number of more than three bytes")
        if byte < 0x80:
            yield number
            number = place = 0
    if place > 0:
        raise ValueError("a number is cut off")
