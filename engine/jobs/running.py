"""How a job runs its codec: with which encoder, how many samples at once, on how many threads."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.errors import CorruptStore, IncompatibleStore, InvalidInput
from engine.jobs.gaps import fill_gaps
from engine.jobs.survey import Survey
from engine.runtime.calibration import calibration_rows
from engine.runtime.codec import Codec
from engine.runtime.device import available_cores
from engine.runtime.encoder_choice import choose_encoder
from engine.runtime.encoder_variants import EncoderChoice, EncoderName, named_encoder
from engine.runtime.layout_trials import BATCH_COST_S, Layout
from engine.runtime.tuning import known_tuning, tune
from engine.sources import Source
from engine.store.objects import LocalObjects
from engine.store.root import is_store, read_head

EncoderOption = Literal["auto", "float32", "int8", "float16"]
_CUDA_WORKERS = 4  # so many keep a GPU busy: two copy and compute, two hash and gather
# Shorter jobs would spend on measuring a good part of what it could save them.
_WORTH_CHOOSING_S, _WORTH_TUNING_S = 1.0, 10.0
_CHOOSING_SHARE, _LONGEST_CHOICE_S = 0.05, 0.3
_WORTH_RUNNING_S = 6 * BATCH_COST_S
_MOST_BATCHES = 4  # of those that suit the codec by the size of its samples


@dataclass(frozen=True)
class Running:
    """A codec as a job runs it: `workers` threads call it with `batch` samples at a time.

    `encoder` names what makes the latents, as the fingerprint has it.
    """

    codec: Codec
    encoder: Mapping[str, Any]
    batch: int
    workers: int


def prepare(
    codec: Codec,
    source: Source,
    survey: Survey,
    *,
    step: float,
    encoder: EncoderOption,
    recorded: Mapping[str, Any] | None,
    batch: int | None,
    threads: int | None,
) -> Running:
    """Decide how to run `codec` over `source`, measuring it where the job is long enough.

    `recorded` is the encoder that began the store, which `auto` stays with; `batch` and `threads`
    overrule what is measured.

    Raises:
        InvalidInput: no such encoder, or the network can't be made so.
        IncompatibleStore: this machine makes another encoder than the one that began the store.
    """
    alone = codec.on(codec.device, 1)
    expected_s = _encoding_s(alone, len(source))
    choice = _choose(codec, source, survey, step, encoder, recorded, expected_s)
    chosen = choice.apply(alone)
    if batch is None or threads is None:
        layout = _layout(chosen, len(source), expected_s / choice.speed_up)
    else:
        layout = Layout(batch, threads, 1)
    threads_per_run = layout.threads_per_run if threads is None else 1
    return Running(
        # With the network that is loaded, if one thread runs it.
        chosen if threads_per_run == 1 else chosen.on(codec.device, threads_per_run),
        choice.identity,
        batch or layout.batch_samples,
        threads or layout.callers,
    )


def make_encoder(codec: Codec, source: Source, survey: Survey, name: EncoderName) -> EncoderChoice:
    """The encoder of a name, calibrated on the data.

    Raises:
        InvalidInput: there is none of that name, or the network can't be made so.
    """
    if name == "float32":
        return EncoderChoice(name)
    choice = named_encoder(codec, name, _calibration(source, survey))
    if choice is None:
        raise InvalidInput(f"this codec's encoder can't be made {name}; use float32 or auto")
    return choice


def _layout(codec: Codec, samples: int, expected_s: float) -> Layout:
    """What was or is measured for a long job, and an estimate for a short one."""
    if (known := known_tuning(codec)) is not None:
        return known.layout
    if expected_s > _WORTH_TUNING_S:
        return tune(codec).layout
    size, workers = codec.batch_samples, _workers(codec)
    if not expected_s:
        return Layout(size, workers, 1)
    # Short runs drown in what a batch costs.
    largest = min(size * _MOST_BATCHES, codec.largest_batch // workers)
    while 2 * size <= largest and expected_s / samples * size < _WORTH_RUNNING_S:
        size *= 2
    return Layout(size, workers, 1)


def _workers(codec: Codec) -> int:
    return _CUDA_WORKERS if codec.device == "cuda" else available_cores()


def recorded_encoder(
    store: LocalObjects, codec: Codec, identity: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """What a store of this codec and data was begun with, if there is one to go on with.

    `identity` is that of the data in the fingerprint.
    """
    try:
        fingerprint = read_head(store).fingerprint if is_store(store.folder) else {}
    except (CorruptStore, IncompatibleStore):  # whoever goes on with it will say so
        return None
    if (fingerprint.get("codec"), fingerprint.get("data")) != (codec.digest, identity["data"]):
        return None
    recorded = fingerprint.get("encoder")
    return recorded if isinstance(recorded, Mapping) and "name" in recorded else None


def _choose(
    codec: Codec,
    source: Source,
    survey: Survey,
    step: float,
    option: EncoderOption,
    recorded: Mapping[str, Any] | None,
    expected_s: float,
) -> EncoderChoice:
    if option == "auto" and recorded is None:
        if expected_s < _WORTH_CHOOSING_S:
            return EncoderChoice("float32")
        budget_s = min(_LONGEST_CHOICE_S, _CHOOSING_SHARE * expected_s)
        return choose_encoder(codec, _calibration(source, survey), step, budget_s=budget_s)
    name: EncoderName = recorded["name"] if option == "auto" else option  # type: ignore[index]
    choice = make_encoder(codec, source, survey, name)
    if option == "auto" and choice.identity != recorded:
        raise IncompatibleStore(
            f"this machine makes another {name} encoder than the one that began the store: go on "
            f"where it was begun, or pass --overwrite"
        )
    return choice


def _encoding_s(codec: Codec, samples: int) -> float:
    """How long `codec` would encode these samples, by a single batch; 0 if they are no more."""
    batch = np.zeros((codec.batch_samples, *codec.sample_shape), codec.dtype)
    if samples <= len(batch):
        return 0.0
    step = np.ones(1, np.float32)
    codec.encoder(batch, step)  # the first run also allocates
    began = time.perf_counter()
    codec.encoder(batch, step)
    return (time.perf_counter() - began) * samples / len(batch)


def _calibration(source: Source, survey: Survey) -> NDArray[Any]:
    """Finite samples from all of the data."""
    samples = calibration_rows(source)
    return fill_gaps(samples, survey.verbatim(samples), survey)
