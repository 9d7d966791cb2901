"""The run of a comparison: data, codecs and peers become points, files and advice."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.comparing.advice import advise
from engine.comparing.comparison import Comparison
from engine.comparing.facts import describe
from engine.comparing.families import FAMILIES, methods_of
from engine.comparing.latent_store import LatentStore
from engine.comparing.measuring import measure
from engine.comparing.method import Method, how_to_install
from engine.comparing.own_codecs import (
    KLT,
    Report,
    check_architectures,
    default_architectures,
    train_codecs,
)
from engine.comparing.record import PREVIEW_SAMPLES, Measured, Record, Refusal
from engine.comparing.report import write_report
from engine.comparing.split_samples import (
    DEFAULT_TEST_SAMPLES,
    SplitSamples,
    plan_apart,
    plan_split,
    read_split,
)
from engine.errors import InvalidInput
from engine.jobs.fit import check_counts, check_fit
from engine.runtime.codec import Codec
from engine.sources import Source, open_source

_STEPS = (4.0, 2.0, 1.4, 1.0, 0.7)  # of a codec of unknown rate


def compare(
    data: Any,
    codecs: Sequence[str | os.PathLike[str]] = (),
    *,
    train: Sequence[str] | None = None,
    peers: Sequence[str] = (),
    out: str | os.PathLike[str] | None = None,
    held_out: Any = None,
    for_samples: int | None = None,
    test_samples: int = DEFAULT_TEST_SAMPLES,
    chunk_samples: int | None = None,
    seed: int = 0,
    key: str | None = None,
    progress: Report | None = None,
) -> Comparison:
    """Train codecs on a dataset and measure them and peers on samples held out of it.

    Training takes the whole machine, measuring one thread of the CPU.

    Args:
        data: a path or an array-like of shape `(samples, *sample_shape)`.
        codecs: folders of trained codecs. What they were trained on is not known here: a codec
            that saw the test samples is flattered, so name others with `held_out`.
        train: architectures to train, each at several rates, on what isn't held out. Without, the
            linear codec, which all are held against, and where no codec is given the network that
            suits the samples; an empty list trains nothing.
        peers: names of `FAMILIES`; all of them without.
        out: folder for trained codecs, points, tables, plots and a page; with it, a run that was
            cut off goes on.
        held_out: another dataset of the same kind to measure on; without, chunks of `data` that
            no peer learns from.
        for_samples: size of the store that a decoder is shared by; that of the dataset without.
        test_samples: how many to measure on at most, in whole chunks; of `data` at most a fifth.
        chunk_samples: samples of a chunk, for all.
        seed: draws the chunks to hold out.
        key: which array of an `.npz` file or Zarr group.
        progress: called with what is done, of how much, and what comes next: first of codecs to
            train, then of settings to measure.

    Raises:
        InvalidInput: data, codecs or options that can't be used.
        StorageError: the file system refused; finished points stay.
    """
    check_counts(for_samples=for_samples, test_samples=test_samples, chunk_samples=chunk_samples)
    check_architectures(train or ())
    chosen = _methods_of(peers)
    with open_source(data, key=key) as source:
        sizes: dict[str, Any] = {"test_samples": test_samples, "chunk_samples": chunk_samples}
        given = [(Path(path).name, _open_codec(path, source)) for path in codecs]
        samples = _read(source, held_out, key, **sizes, seed=seed)
        facts = describe(source.name, samples, for_samples)
    if train is None:
        train = (KLT,) if codecs else default_architectures(samples.sample_shape)
    ours = [LatentStore(name, {"": one}, _STEPS, facts.for_samples) for name, one in given]
    folder = None if out is None else Path(out)
    with tempfile.TemporaryDirectory() as unnamed:
        trained, unfit = train_codecs(
            samples, train, folder or Path(unnamed), facts.for_samples, progress
        )
    here = [method for method in chosen if method.is_installed]
    found = _measure_all(samples, [*ours, *trained, *here], Record(folder), progress)
    measured = tuple(one for one in found if isinstance(one, Measured))
    comparison = Comparison(
        facts=facts,
        measured=measured,
        refusals=(*unfit, *(one for one in found if isinstance(one, Refusal))),
        missing=tuple(how_to_install(method) for method in chosen if not method.is_installed),
        advice=advise([one.point for one in measured], facts),
        originals=samples.test[:PREVIEW_SAMPLES],
    )
    if folder is not None:
        write_report(comparison, folder)
    return comparison


def _read(source: Source, held_out: Any, key: str | None, **options: Any) -> SplitSamples:
    """Samples to learn from and to measure on."""
    if held_out is None:
        return read_split(source, plan_split(len(source), source.sample_bytes, **options))
    with open_source(held_out, key=key) as apart:
        split = plan_apart(len(source), len(apart), source.sample_bytes, **options)
        return read_split(source, split, apart)


def _methods_of(peers: Sequence[str]) -> tuple[Method, ...]:
    unknown = sorted(set(peers) - set(FAMILIES))
    if unknown:
        raise InvalidInput(f"unknown peers {unknown}; known are {sorted(FAMILIES)}")
    return methods_of(peers)


def _open_codec(path: str | os.PathLike[str], source: Source) -> Codec:
    codec = Codec.load(path, "cpu")
    check_fit(source, codec)
    return codec


def _measure_all(
    data: SplitSamples, methods: Sequence[Method], record: Record, progress: Report | None
) -> list[Measured | Refusal]:
    plan = [(method, setting) for method in methods for setting in method.settings(data)]
    found = []
    for done, (method, setting) in enumerate(plan):
        if progress is not None:
            progress(done, len(plan), f"{method.name}, {setting}")
        found.append(measure(data, method, setting, record))
    if progress is not None:
        progress(len(plan), len(plan), "")
    return found
