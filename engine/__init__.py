"""Compress datasets into latent stores: a trained autoencoder over chunked Zarr v3.

codec = engine.train(data, "digits.codec", arch="conv")
report = engine.compress(data, "digits.zarr", codec)
store = engine.open("digits.zarr")
store[7]
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from engine.errors import (
    CorruptCodec,
    CorruptStore,
    DeviceUnavailable,
    EngineError,
    GuaranteeViolated,
    IncompatibleStore,
    IncompleteStore,
    InvalidInput,
    MissingExtra,
    StorageError,
)

if TYPE_CHECKING:
    from engine.jobs.compress import compress
    from engine.jobs.encode import encode
    from engine.jobs.pack import pack
    from engine.jobs.repair import RepairReport, repair
    from engine.jobs.report import CompressionReport
    from engine.jobs.train import train
    from engine.reading.decode import decode
    from engine.reading.store import Store
    from engine.reading.store import Store as open
    from engine.reading.verify import Verification, verify
    from engine.runtime.codec import Codec

__version__ = "0.1.0"

# Looked up on first use, so that `import engine` loads neither onnxruntime nor torch.
_HOMES = {
    "Codec": ("engine.runtime.codec", "Codec"),
    "CompressionReport": ("engine.jobs.report", "CompressionReport"),
    "Store": ("engine.reading.store", "Store"),
    "Verification": ("engine.reading.verify", "Verification"),
    "compress": ("engine.jobs.compress", "compress"),
    "decode": ("engine.reading.decode", "decode"),
    "encode": ("engine.jobs.encode", "encode"),
    "open": ("engine.reading.store", "Store"),
    "pack": ("engine.jobs.pack", "pack"),
    "RepairReport": ("engine.jobs.repair", "RepairReport"),
    "repair": ("engine.jobs.repair", "repair"),
    "train": ("engine.jobs.train", "train"),
    "verify": ("engine.reading.verify", "verify"),
}

__all__ = [
    "Codec",
    "CompressionReport",
    "CorruptCodec",
    "CorruptStore",
    "DeviceUnavailable",
    "EngineError",
    "GuaranteeViolated",
    "IncompatibleStore",
    "IncompleteStore",
    "InvalidInput",
    "MissingExtra",
    "RepairReport",
    "StorageError",
    "Store",
    "Verification",
    "__version__",
    "compress",
    "decode",
    "encode",
    "open",
    "pack",
    "repair",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
