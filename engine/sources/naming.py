"""The choice of one array from a container that holds several by name."""

from collections.abc import Sequence

from engine.errors import InvalidInput

_LISTED_NAMES = 20


def pick_name(where: object, key: str | None, names: Sequence[str]) -> str:
    """Return `key` if it is one of `names`, or, without a key, the only name there is.

    Raises:
        InvalidInput: lists the names.
    """
    if not names:
        raise InvalidInput(f"{where}: expected an array in it, found none")
    if key is not None:
        if key in names:
            return key
        raise InvalidInput(f"{where}: no array named {key!r} in it; found {_listing(names)}")
    if len(names) > 1:
        raise InvalidInput(
            f"{where}: holds {len(names)} arrays; pick one as key={names[0]!r} or "
            f"'{where}::{names[0]}'; found {_listing(names)}"
        )
    return names[0]


def refuse_key(where: object, key: str | None) -> None:
    """Refuse a key where there is only one array, without a name.

    Raises:
        InvalidInput: a key was given.
    """
    if key is not None:
        raise InvalidInput(f"{where}: holds one array without a name; leave out key={key!r}")


def _listing(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _LISTED_NAMES else ""
    return ", ".join(names[:_LISTED_NAMES]) + more
