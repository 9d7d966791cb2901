"""What a comparison was made on."""

from __future__ import annotations

from dataclasses import dataclass

from engine.comparing.split_samples import SplitSamples


@dataclass(frozen=True)
class Facts:
    """The data, how it was split, and for how many samples a store is meant.

    `sample_bytes` is the size of a raw sample, `value_range` that of the training samples.
    """

    name: str
    samples: int
    sample_shape: tuple[int, ...]
    dtype: str
    sample_bytes: int
    value_range: float
    chunk_samples: int
    train_samples: int
    test_samples: int
    for_samples: int


def describe(name: str, data: SplitSamples, for_samples: int | None) -> Facts:
    """The facts of held-out samples; a store is meant for all of the data unless told."""
    return Facts(
        name=name,
        samples=data.samples,
        sample_shape=data.sample_shape,
        dtype=data.test.dtype.name,
        sample_bytes=data.sample_bytes,
        value_range=data.value_range,
        chunk_samples=data.chunk_samples,
        train_samples=len(data.train),
        test_samples=len(data.test),
        for_samples=for_samples or data.samples,
    )
