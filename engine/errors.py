"""Every error that the engine raises on purpose; each says where, what was expected, what was
found and what to do."""


class EngineError(Exception):
    """The root of every error raised on purpose."""


class InvalidInput(EngineError):
    """The caller's data or options can't be used as they are."""


class CorruptCodec(EngineError):
    """A codec folder is damaged, truncated or not a codec."""


class CorruptStore(EngineError):
    """A store is damaged, truncated or not a latent store."""


class IncompleteStore(EngineError):
    """A store, or one of its shards, was never committed."""


class IncompatibleStore(EngineError):
    """A store was written by another job, or needs a feature that this version lacks."""


class GuaranteeViolated(EngineError):
    """A promise about the samples, or about what a codec computes, doesn't hold."""


class DeviceUnavailable(EngineError):
    """The asked-for device can't run networks on this machine."""


class StorageError(EngineError):
    """The file system refused a read or a write."""


class MissingExtra(EngineError):
    """A part of the engine was called whose optional packages are not installed."""


def one_line(error: BaseException) -> str:
    """The message of a foreign error without its line breaks, or its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__
