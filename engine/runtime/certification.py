"""Make a codec's drift certificate: choose probes, evaluate them, see how far float32 runs lie."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.codec.certificate import Certificate
from engine.codec.files import DECODER, CodecFiles
from engine.codec.manifest import LatentFormat
from engine.codec.sample_format import SampleFormat
from engine.errors import one_line
from engine.runtime.codec import Codec, batch_samples, batches
from engine.runtime.session import Network

PROBES, POSITIONS = 32, 32
_LEAST_PROBES = 8
_LATENT_BYTES = 8 * 1024  # of all probes, while there are more than the least
_POOL_PROBES, _POOL_ELEMENTS = 256, 1 << 20
_REAL_SAMPLES = 512
_EXTREMES = 3  # all zeros, all at either end of what is certified: always kept
_REACH, _LEAST_REACH = 2, 2  # how far beyond real latents that is: as a factor, and as integers
_BATCHES = (1, 2, 7)
_MARGIN, _ULPS = 8, 4
_MOST_APART = 1e-3  # of the range of the output: beyond that the evaluations don't agree
_SEED = 20_240_229


def build_certificate(
    files: CodecFiles, latents: NDArray[Any], step: float = 1.0
) -> Certificate | str:
    """The certificate of a codec for one `step`, or why there can be none.

    `latents` `(n, *latent_shape)` are candidates, all of which are looked at; the certificate
    keeps some. A certificate's own latents are all kept.

    Raises:
        CorruptCodec: the decoder is missing, or onnxruntime can't load it.
    """
    # onnx's evaluator is slow to import, and only this needs it.
    from engine.runtime.float64_decoder import discontinuity, evaluate_float64

    decoder, sample = files.role(DECODER), files.manifest.sample
    reason = discontinuity(decoder)
    if reason is not None:
        return reason
    try:
        reference = evaluate_float64(decoder, latents, step, math.prod(sample.shape))
    except Exception as error:  # it raises whatever NumPy does
        return f"its decoder can't be evaluated in float64 ({one_line(error)})"
    networks = [
        Network(decoder, "cpu", threads, optimised=optimised)
        for threads, optimised in itertools.product((0, 1), (True, False))
    ]
    apart = _apart(networks, latents, reference, step, (batch_samples(sample.shape),))
    kept = _chosen(apart.max(axis=1), _probe_count(files.manifest.latent))
    again = _apart(networks, latents[kept], reference[kept], step, _BATCHES)
    deviation = float(max(apart.max(), again.max()))
    floor = _ULPS * _coarseness(reference, sample)
    reason = _disagreement(reference, deviation, floor)
    if reason is not None:
        return reason
    positions = _positions(np.maximum(apart[kept], again))
    return Certificate(
        step=float(np.float32(step)),
        latents=latents[kept],
        positions=positions,
        reference=np.take_along_axis(reference[kept], positions.astype(np.intp), axis=1),
        deviation=deviation,
        tolerance=max(_MARGIN * deviation, floor),
    )


def _disagreement(reference: NDArray[np.float64], deviation: float, floor: float) -> str | None:
    """Why float32 runs `deviation` from the reference can't be certified, or None."""
    if not (np.isfinite(reference).all() and math.isfinite(deviation)):
        return "its decoder returns NaN or Inf for some latents"
    if deviation > max(_MOST_APART * float(np.ptp(reference)), floor):
        return f"its decoder differs by {deviation:.3g} between float32 and float64"
    return None


def probe_candidates(codec: Codec, samples: NDArray[Any]) -> NDArray[Any]:
    """Latents to choose probes from: extreme, random, and those of raw `samples` `(n, *shape)`.

    The real ones are spread over the samples, and those with the largest outputs. None lies beyond
    twice the largest real latent of its channel: such latents, which few samples have or none,
    would make a certificate for all of them, and cost every sample the room for their drift.
    """
    latent, rng = codec.manifest.latent, np.random.default_rng(_SEED)
    elements = math.prod(codec.sample_shape)
    count = int(np.clip(_POOL_ELEMENTS // elements, _LEAST_PROBES, _POOL_PROBES))
    every = codec.encode(samples)
    reach = _reach(latent, every)
    real = every[:: math.ceil(len(every) / min(_REAL_SAMPLES, 2 * count))]
    spread = real[:: math.ceil(len(real) / math.ceil(count / 4))]
    largest = real[np.argsort(-_magnitude(codec, real), kind="stable")[: count // 4]]
    few = count // 8
    extremes = np.stack([0 * reach, reach, -reach])
    uniform = rng.integers(-reach, reach, (count // 4, *latent.shape), endpoint=True)
    signs = reach * rng.choice((-1, 1), (few, *latent.shape))
    groups = (extremes, _single_channels(reach, few), signs, uniform, spread, largest)
    return np.concatenate(groups).astype(latent.dtype)


def rescaled(latents: NDArray[Any], factor: float) -> NDArray[Any]:
    """Probes that stand for the same values at a step `factor` times as fine, or just beyond."""
    limit = np.iinfo(latents.dtype).max
    larger = np.ceil(np.abs(latents.astype(np.float64)) * factor).clip(max=limit)
    return np.asarray(np.sign(latents) * larger, latents.dtype)


def _reach(latent: LatentFormat, real: NDArray[Any]) -> NDArray[np.int64]:
    """The largest magnitude that probes have, by channel, shaped like the latents of a sample."""
    axes = (0, *range(2, real.ndim))
    largest = np.abs(real.astype(np.int64)).max(axis=axes)
    reach = np.maximum(_REACH * largest, largest + _LEAST_REACH).clip(max=latent.limit)
    shaped = reach.reshape(-1, *[1] * (len(latent.shape) - 1))
    return np.asarray(np.broadcast_to(shaped, latent.shape))


def _single_channels(reach: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """One channel at an end, all others zero; channels spread, ends in turn."""
    probes = np.zeros((count, *reach.shape), np.int64)
    for index, channel in enumerate(np.linspace(0, len(reach) - 1, count).astype(int)):
        probes[index, channel] = -reach[channel] if index % 2 else reach[channel]
    return probes


def _magnitude(codec: Codec, latents: NDArray[Any]) -> NDArray[Any]:
    """Largest absolute output of each sample, without holding all outputs at once."""
    return np.concatenate(
        [
            np.abs(codec.reconstruct(latents[start:stop])).reshape(stop - start, -1).max(axis=1)
            for start, stop in batches(len(latents), codec.batch_samples)
        ]
    )


def _apart(
    networks: list[Network],
    latents: NDArray[Any],
    reference: NDArray[np.float64],
    step: float,
    sizes: tuple[int, ...],
) -> NDArray[np.float64]:
    """Largest difference from `reference`, element by element, over networks and batch sizes."""
    worst, scale = np.zeros_like(reference), np.array([step], np.float32)
    for network, size in itertools.product(networks, sizes):
        for start, stop in batches(len(latents), size):
            found = network(latents[start:stop], scale).reshape(stop - start, -1)
            with np.errstate(all="ignore"):  # values that are not finite
                apart = np.abs(found - reference[start:stop])
                np.maximum(worst[start:stop], apart, out=worst[start:stop])
    return worst


def _probe_count(latent: LatentFormat) -> int:
    return int(np.clip(_LATENT_BYTES // latent.size_bytes, _LEAST_PROBES, PROBES))


def _chosen(apart: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Rows to keep: the extremes, those that lie farthest apart, and some spread over the rest."""
    if len(apart) <= count:
        return np.arange(len(apart))
    ranked = _EXTREMES + np.argsort(-apart[_EXTREMES:], kind="stable")
    farthest, rest = np.split(ranked, [(count - _EXTREMES) // 2])
    missing = count - _EXTREMES - len(farthest)
    spread = rest[np.linspace(0, len(rest) - 1, missing).astype(int)]
    return np.concatenate([np.arange(_EXTREMES), np.sort(np.concatenate([farthest, spread]))])


def _positions(apart: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Positions `(n, p)`, ascending: half where a sample lies farthest apart, half random."""
    (_, elements), rng = apart.shape, np.random.default_rng(_SEED)
    count = min(POSITIONS, elements)
    chosen = []
    for row in apart:
        farthest = np.argsort(-row, kind="stable")[: count // 2]
        drawn = rng.choice(elements, count, replace=False)
        fresh = drawn[~np.isin(drawn, farthest)][: count - len(farthest)]
        chosen.append(np.sort(np.concatenate([farthest, fresh])))
    return np.array(chosen, np.uint32)


def _coarseness(reference: NDArray[np.float64], sample: SampleFormat) -> float:
    """Distance of neighbouring numbers at the largest output, within the network and after it."""
    with np.errstate(all="ignore"):
        inside = np.spacing(np.float32(np.abs(reference - sample.offset).max()))
        outside = np.spacing(sample.working_dtype.type(np.abs(reference).max()))
    return float(max(inside, outside))
