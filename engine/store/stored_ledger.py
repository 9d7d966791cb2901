"""The ledger that lies in a store: one array once it is sealed, one object a record before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import CorruptStore
from engine.store.ledger import parse_record, parse_records
from engine.store.objects import LocalObjects
from engine.store.plan import COMMITS, LEDGER, PART
from engine.store.trusted import TrustedObjects


def read_sealed(
    trusted: TrustedObjects, shards: int, dtype: np.dtype[Any], store_id: bytes
) -> NDArray[Any]:
    """The records of a sealed store, one a shard.

    Raises:
        CorruptStore: one is damaged, misplaced or missing.
    """
    size = shards * dtype.itemsize
    content = trusted.bytes_array(f"{PART}/{LEDGER}", size)
    with naming(str(trusted)):
        if len(content) != size:
            raise CorruptStore(f"the ledger doesn't hold {shards} records")
        return parse_records(content, dtype, store_id)


def read_committed(
    objects: LocalObjects, shards: int, dtype: np.dtype[Any], store_id: bytes
) -> NDArray[Any]:
    """The records of a store being written, one a shard; those not there have version 0.

    Raises:
        CorruptStore: one is damaged or misplaced.
    """
    records = np.zeros(shards, dtype)
    for name in objects.names(f"{COMMITS}/c"):
        if name.isdecimal() and name == str(int(name)) and int(name) < shards:
            content = objects.get(f"{COMMITS}/c/{name}", dtype.itemsize)
            with naming(str(objects)):
                records[int(name)] = parse_record(content, dtype, store_id, int(name))
    return records


@contextlib.contextmanager
def naming(store: str) -> Iterator[None]:
    """Let errors of what knows nothing of the store begin with its name."""
    try:
        yield
    except CorruptStore as error:
        raise CorruptStore(f"{store}: {error}") from None
