"""Everything that samples can be read from: files, folders and arrays, all of them a `Source`."""

from engine.sources.opening import Data, open_source
from engine.sources.source import Source, spread_rows

__all__ = ["Data", "Source", "open_source", "spread_rows"]
