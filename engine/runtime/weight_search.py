"""How each weight of a network is kept: in the fewest bytes that lose no more than is allowed.

A bit less for each number of a weight is worth the same wherever it is, and so is the error that it
adds to the samples: there is one price of error. At it each weight is kept as what costs least, and
integers get the step at which another bit would cost what it saves. The loss is then measured
through the whole codec, and the price corrected.

Source: Shoham and Gersho, "Efficient bit allocation for an arbitrary set of quantizers", 1988.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto

from engine.codec.graph import NETWORK_PREFIX
from engine.codec.narrow_weights import Integers, Narrow, float32_weights, replace_weights
from engine.runtime.round_trip import RoundTrip, loss_db
from engine.runtime.weight_layers import LEAST_ELEMENTS, observe_inputs, weight_layers
from engine.runtime.weight_rounding import INT8, RoundableWeight
from engine.store.byte_array import stored_bytes

_ROUNDS = 6
_AIMED_AT = 0.95
_TRIAL, _MOST_OF_POWER = 1e-3, 1e-2
_LEAST_HARM = 1e-3
_NATS = 2 * math.log(2)  # a bit more for a number leaves a quarter of the error


class WeightSearch:
    """Looks for small graphs of one network; errors are mean squares of samples."""

    def __init__(
        self,
        content: bytes,
        inputs: NDArray[Any],
        error: Callable[[bytes], float],
        exact: RoundTrip,
    ) -> None:
        """See what the layers do with `inputs` `(n, *shape)`.

        `error` measures a graph in place of `content`, `exact` the codec that losses are against.
        """
        self._content, self._error, self._exact = content, error, exact.own
        self._model = onnx.load_model_from_string(content)
        self._weights = float32_weights(self._model, NETWORK_PREFIX)
        layers = weight_layers(self._model, self._weights)
        seen = observe_inputs(self._model, layers, inputs, exact.batch_samples)
        self._roundable = {
            layer.weight: RoundableWeight(layer, self._weights[layer.weight], seen[layer.weight])
            for layer in layers
            if np.isfinite(seen[layer.weight].moments).all()
        }
        self._size = sum(weight.size for weight in self._weights.values())
        self._harms: dict[str, float] = {}

    def smallest(self, most_loss_db: float) -> bytes:
        """The graph of the fewest stored bytes that loses no more."""
        best, fewest = self._content, stored_bytes(self._content)
        aim = _AIMED_AT * most_loss_db
        budget = self._exact * (10 ** (most_loss_db / 10) - 1)
        for _ in range(_ROUNDS if budget else 0):
            graph = self._graph(budget)
            loss, size = loss_db(self._error(graph), self._exact), stored_bytes(graph)
            if loss <= most_loss_db and size < fewest:
                best, fewest = graph, size
            if _AIMED_AT * aim <= loss <= most_loss_db:
                break
            budget *= float(np.clip(aim / max(loss, aim / 9), 0.1, 3.0))
        return best

    def integers(self) -> bytes:
        """The graph with int8 weights as exact as they can be, and the others in float16."""
        return self._graph(None)

    def _graph(self, budget: float | None) -> bytes:
        """The graph whose weights add about `budget` to the error, or all in few bits."""
        narrow: dict[str, Narrow] = {}
        current = dict(self._weights)
        for name, roundable in self._roundable.items():
            found = (
                roundable.rounded(0.0, INT8) if budget is None else self._kept(roundable, budget)
            )
            if found is None:
                continue
            narrow[name] = found
            bias = roundable.layer.bias
            if bias is not None:
                exact = found.weight if isinstance(found, Integers) else found
                current[bias] = roundable.bias_for(exact, current[bias])
        for name in self._others:
            half = _half(current[name])
            if half is not None and (budget is None or self._is_cheaper(name, half, budget)):
                narrow[name] = half
        return _to_bytes(replace_weights(self._model, narrow, current))

    def _kept(self, roundable: RoundableWeight, budget: float) -> Narrow | None:
        """What a layer's weight is kept as, or None for float32."""
        weight, harm = self._weights[roundable.layer.weight], self._harm(roundable)
        share = budget * weight.size / self._size
        aimed_at = min(share / harm, _MOST_OF_POWER * roundable.power)
        integers = roundable.rounded(aimed_at)
        costs: list[tuple[float, Narrow | None]] = [(32.0 * weight.size, None)]
        for narrow, exact in ((integers, integers.weight), (half := _half(weight), half)):
            if narrow is not None and exact is not None:
                added = harm * roundable.error(exact)
                costs.append((_bits(narrow) + self._price(budget) * added, narrow))
        return min(costs, key=lambda cost: cost[0])[1]

    def _is_cheaper(self, name: str, half: NDArray[np.float16], budget: float) -> bool:
        return self._price(budget) * self._half_harms[name] < 16 * half.size

    def _price(self, budget: float) -> float:
        """Bits that a unit of error costs, where the budget is spent at its best."""
        return self._size / (_NATS * budget)

    def _harm(self, roundable: RoundableWeight) -> float:
        """What one unit of a layer's error adds to that of the samples."""
        name = roundable.layer.weight
        if name not in self._harms:
            trial = roundable.rounded(_TRIAL * roundable.power)
            added = max(self._added({name: trial}), _LEAST_HARM * self._exact)
            self._harms[name] = added / (roundable.error(trial.weight) or 1.0)
        return self._harms[name]

    @functools.cached_property
    def _half_harms(self) -> dict[str, float]:
        """What float16 adds, of the weights that are no layer's."""
        halves = {name: _half(self._weights[name]) for name in self._others}
        return {n: abs(self._added({n: half})) for n, half in halves.items() if half is not None}

    @functools.cached_property
    def _others(self) -> list[str]:
        """Weights that are no layer's, but worth narrowing, such as biases."""
        large = (n for n, weight in self._weights.items() if weight.size >= LEAST_ELEMENTS)
        return [name for name in large if name not in self._roundable]

    def _added(self, narrow: Mapping[str, Narrow]) -> float:
        return self._error(_to_bytes(replace_weights(self._model, narrow))) - self._own

    @functools.cached_property
    def _own(self) -> float:
        return self._error(self._content)


def halved(content: bytes) -> bytes:
    """A graph whose weights are float16, where they fit."""
    model = onnx.load_model_from_string(content)
    weights = float32_weights(model, NETWORK_PREFIX)
    halves = {n: _half(w) for n, w in weights.items() if w.size >= LEAST_ELEMENTS}
    return _to_bytes(replace_weights(model, {n: h for n, h in halves.items() if h is not None}))


def _half(weight: NDArray[np.float32]) -> NDArray[np.float16] | None:
    """A weight in float16, None where that doesn't reach."""
    if not (np.abs(weight) <= np.finfo(np.float16).max).all():
        return None
    return weight.astype(np.float16)


def _bits(narrow: Narrow) -> float:
    """About what a weight takes: integers at their entropy."""
    if not isinstance(narrow, Integers):
        return 16.0 * narrow.size
    counts = np.unique(narrow.integers, return_counts=True)[1]
    return float(-(counts * np.log2(counts / counts.sum())).sum())


def _to_bytes(model: ModelProto) -> bytes:
    return bytes(model.SerializeToString(deterministic=True))
