"""Caps on what files of a stranger may cost."""

DEFAULT_MEMORY_LIMIT = 4 << 30
"""Largest allocation, in bytes, that the metadata of a codec or store may cause: 4 GiB."""

_JSON_EXPANSION = 64  # an empty list takes two bytes as text, and over a hundred once parsed


def memory_problem(what: str, size_bytes: int, limit_bytes: int) -> str | None:
    """What to tell the caller where `what` takes more memory than was allowed, else None."""
    if size_bytes <= limit_bytes:
        return None
    shown = min(size_bytes, 10**300)  # metadata of a stranger may hold any integer
    return (
        f"{what} takes {shown:.4g} bytes of memory, at most {limit_bytes:.4g} are allowed; "
        f"if you trust its source, raise the limit with max_memory_bytes= or --max-memory"
    )


def json_bytes(size_bytes: int) -> int:
    """A bound on the memory that a JSON text of so many bytes takes once it is parsed."""
    return size_bytes * _JSON_EXPANSION
