"""The ways to keep a shard's samples within a guarantee, each proved on the samples themselves."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compile_loop
from engine.jobs.rules import Rules, middle
from engine.runtime.quantiser import Bounds, HostQuantiser, Quantised, Quantiser
from engine.store.ledger import Mode
from engine.store.plan import LATENTS, PATCHED, PATCHES, QUANTISED, RESIDUALS, VERBATIM
from engine.store.zstd_frame import compress_frame

_ZSTD_LEVEL = 3
# Below this, in bits an element, no sample is worth looking at as an exception.
_CHEAP_RESIDUAL_BITS = 2.0
_LOOKED_AT = 4096
_ARRAYS = tuple(field.name for field in dataclasses.fields(Quantised))


class Kind(NamedTuple):
    """What is tried: residuals of the network or not, at the `attempt`th step, with exceptions.

    Exceptions are the samples that cost more than themselves.
    """

    uses_network: bool
    attempt: int
    has_exceptions: bool


AS_IT_IS = Kind(uses_network=False, attempt=-1, has_exceptions=True)
"""Verbatim, which always holds."""


@dataclass(frozen=True)
class Way:
    """One way to keep the samples of a shard: rows of arrays by name, and the errors they leave.

    `rows` `(n, ...)`; `max_abs_error` and `sum_squared_error` float64 `(n,)`; `step` and `base`
    are those of the residuals or plainly quantised samples.
    """

    kind: Kind
    mode: Mode
    rows: Mapping[str, NDArray[Any]]
    max_abs_error: NDArray[np.float64]
    sum_squared_error: NDArray[np.float64]
    step: float = 0.0
    base: float = 0.0

    def fields(self) -> dict[str, Any]:
        """Fields of the ledger record."""
        patched = self.rows.get(PATCHED)
        each = 0 if patched is None else patched.reshape(len(patched), -1).all(axis=1).sum()
        return {
            "mode": self.mode,
            "residual_step": self.step,
            "base": self.base,
            "exceptions": each,
            "patches": 0 if patched is None else np.count_nonzero(patched),
        }


@dataclass(frozen=True)
class ShardSamples:
    """The samples of a shard `(n, *shape)`, and what the networks make of them.

    `verbatim` marks elements to keep bit for bit; `latents` and `reconstruction` are None where no
    network is used. A reconstruction in a device's memory is there as what quantises against it.
    `uncovered` `(n,)` marks samples whose reconstruction no certificate vouches for.
    """

    samples: NDArray[Any]
    verbatim: NDArray[np.bool_] | None
    latents: NDArray[Any] | None
    reconstruction: NDArray[Any] | Quantiser | None
    uncovered: NDArray[np.bool_] | None = None
    _sizes: dict[int, int] = field(default_factory=dict)

    @functools.cached_property
    def quantiser(self) -> Quantiser:
        """Takes residuals of the samples."""
        if isinstance(self.reconstruction, np.ndarray | None):
            return HostQuantiser(self.samples, self.verbatim, self.reconstruction)
        return self.reconstruction

    def compressed_bits(self, row: int) -> int:
        """What a sample takes by itself; every step asks, so it is compressed only once."""
        if row not in self._sizes:
            self._sizes[row] = 8 * len(compress_frame(self.samples[row], _ZSTD_LEVEL))
        return self._sizes[row]


def ways(
    shard: ShardSamples,
    rules: Rules,
    *,
    keep_latents: bool,
    without: Container[Kind] = frozenset(),
) -> Iterator[Way]:
    """All ways worth encoding, but for those `without`; one at least.

    Latents are among the rows where the mode needs them, and wherever `keep_latents` is set.
    """
    kept = {LATENTS: shard.latents} if keep_latents and shard.latents is not None else {}
    found = False
    for way in _proved(shard, rules, kept, without):
        found = True
        yield way
    if rules.guarantee.kind != "none" and not (found and AS_IT_IS in without):
        nothing = np.zeros(len(shard.samples))
        rows = {VERBATIM: shard.samples, **kept}
        yield Way(AS_IT_IS, Mode.VERBATIM, rows, nothing, nothing)


def _proved(
    shard: ShardSamples, rules: Rules, kept: Mapping[str, Any], without: Container[Kind]
) -> Iterator[Way]:
    """The ways that hold by residuals; `kept` are rows that all of them have."""
    if shard.reconstruction is not None and rules.room is not None:
        network = _Attempts(shard, rules, None, rules.room, np.dtype(np.int16))
        for kind, attempt in network.all(rules.residual_steps, without):
            mode = Mode.RESIDUALS if attempt.residuals.any() else Mode.LATENTS
            named = RESIDUALS if mode is Mode.RESIDUALS else None
            yield attempt.way(kind, mode, named, {LATENTS: shard.latents}, base=0.0)
    if rules.guarantee.kind == "none":
        return
    base = rules.base if rules.base is not None else _base(shard, rules)
    if rules.quantised_dtype is not None and base is not None:
        plain = _Attempts(shard, rules, base, 0.0, rules.quantised_dtype)
        for kind, attempt in plain.all(rules.quantised_steps, without):
            yield attempt.way(kind, Mode.QUANTISED, QUANTISED, kept, base=base)


def _base(shard: ShardSamples, rules: Rules) -> float | None:
    """A constant near most samples of a shard; None where integers reach few of them from any."""
    values = shard.samples if shard.verbatim is None else shard.samples[~shard.verbatim]
    some = values.reshape(-1)[:: max(1, values.size // _LOOKED_AT)].astype(np.float64)
    if some.size == 0 or rules.quantised_dtype is None:
        return None
    low, high = np.quantile(some, (0.25, 0.75))
    base = middle(float(low), float(high), rules.dtype)
    reach = np.iinfo(rules.quantised_dtype).max * min(rules.quantised_steps)
    return base if high - base < reach and base - low < reach else None


@dataclass(frozen=True)
class _Attempt(Quantised):
    """Residuals at one step that hold the promise, everything else patched."""

    samples: NDArray[Any]
    step: float

    def way(
        self, kind: Kind, mode: Mode, name: str | None, latents: Mapping[str, Any], base: float
    ) -> Way:
        rows = dict(latents)
        if name is not None:
            carried = name == QUANTISED and self.patched.any()
            values = _carried(self.residuals, self.patched) if carried else self.residuals
            rows[name] = values.reshape(self.samples.shape)
        if self.patched.any():
            patched = self.patched.reshape(self.samples.shape)
            rows[PATCHED] = patched
            rows[PATCHES] = np.where(patched, self.samples, self.samples.dtype.type(0))
        step = self.step if name is not None else 0.0
        return Way(kind, mode, rows, self.max_abs_error, self.sum_squared_error, step, base)

    def with_exceptions(self, chosen: NDArray[np.bool_]) -> _Attempt:
        """The same with some samples kept whole."""
        if not chosen.any():
            return self
        return self._changed(chosen, dict.fromkeys(_ARRAYS, 0) | {"patched": 1})

    def replaced(self, chosen: NDArray[np.bool_], other: _Attempt) -> _Attempt:
        """The same, with what `other` found for the samples chosen."""
        changed = self._changed(chosen, {name: getattr(other, name) for name in _ARRAYS})
        return dataclasses.replace(changed, step=other.step)

    def _changed(self, chosen: NDArray[np.bool_], values: Mapping[str, Any]) -> _Attempt:
        arrays = {name: getattr(self, name).copy() for name in _ARRAYS}
        for name, array in arrays.items():
            array[chosen] = values[name]
        return dataclasses.replace(self, **arrays)


def _carried(values: NDArray[Any], patched: NDArray[np.uint8]) -> NDArray[Any]:
    """Values `(n, elements)` with the one before in place of what is patched, which nobody reads.

    So the edges of a gap are as easy to predict as the rest; what comes before a first gap ends is
    the first value there is.
    """
    carried = np.empty_like(values)
    _carrying()(values, patched, carried)
    return carried


@functools.cache
def _carrying() -> Callable[..., None]:
    return compile_loop(_carry)


def _carry(values: NDArray[Any], patched: NDArray[np.uint8], carried: NDArray[Any]) -> None:
    for sample in range(values.shape[0]):
        before = values[sample, 0]
        for element in range(values.shape[1]):
            if not patched[sample, element]:
                before = values[sample, element]
                break
        for element in range(values.shape[1]):
            if not patched[sample, element]:
                before = values[sample, element]
            carried[sample, element] = before


class _Attempts:
    """Tries steps against the reconstruction of a shard, or against a constant `base`."""

    def __init__(
        self,
        shard: ShardSamples,
        rules: Rules,
        base: float | None,
        tolerance: float,
        dtype: np.dtype[Any],
    ) -> None:
        self._shard, self._rules = shard, rules
        self._base, self._tolerance, self._dtype = base, tolerance, dtype

    def all(
        self, steps: tuple[float, ...], without: Container[Kind]
    ) -> Iterator[tuple[Kind, _Attempt]]:
        """What holds at each step, with and without the samples that cost more than themselves."""
        if self._rules.guarantee.kind == "none":
            attempts = iter([self._at(0.0)])
        elif self._rules.guarantee.kind == "min-psnr" and self._base is None:
            attempts = self._where_needed(steps)
        else:
            attempts = (self._at(step) for step in steps)
        for number, found in enumerate(attempts):
            whole, partly = (Kind(self._base is None, number, partly) for partly in (False, True))
            attempt = found.with_exceptions(self._too_far(found))
            if whole not in without:
                yield whole, attempt
            if partly not in without and (expensive := _expensive(attempt, self._shard)).any():
                yield partly, attempt.with_exceptions(expensive)

    def _at(self, step: float, rows: NDArray[np.bool_] | None = None) -> _Attempt:
        bounds = Bounds(step, self._tolerance, self._rules.max_error)
        found = self._shard.quantiser(self._base, bounds, self._dtype, rows)
        samples = self._shard.samples if rows is None else self._shard.samples[rows]
        return _Attempt(**vars(found), samples=samples, step=step)

    def _where_needed(self, steps: tuple[float, ...]) -> Iterator[_Attempt]:
        """No residuals at all, then residuals for the samples that are too far without them."""
        bare = self._at(0.0)
        yield bare
        failing = self._too_far(bare)
        for step in steps if failing.any() else ():
            yield bare.replaced(failing, self._at(step, failing))

    def _too_far(self, attempt: _Attempt) -> NDArray[np.bool_]:
        worst = attempt.worst_sum_squared_error / math.prod(self._shard.samples.shape[1:])
        too_far: NDArray[np.bool_] = ~(worst <= self._rules.max_squared_error)
        if self._base is None and self._shard.uncovered is not None:
            too_far |= self._shard.uncovered
        return too_far


def _expensive(attempt: _Attempt, shard: ShardSamples) -> NDArray[np.bool_]:
    """Samples whose residuals take about as much as the sample itself does.

    A Laplace distribution of mean magnitude m has an entropy of log2(2 e m) bits.
    """
    n, elements = attempt.residuals.shape
    magnitude = np.abs(attempt.residuals, dtype=np.float32).mean(axis=1) + 0.5
    bits = np.log2(2 * math.e * magnitude) * elements
    expensive = np.zeros(n, np.bool_)
    for row in np.flatnonzero(bits > _CHEAP_RESIDUAL_BITS * elements):
        expensive[row] = shard.compressed_bits(int(row)) < bits[row]
    return expensive
