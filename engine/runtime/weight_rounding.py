"""Weights rounded so that a layer's output, not the weight, changes little for the bits it takes.

The inputs of a layer differ in size and depend on each other. So each has a step of its own, the
coarser the less of it the inputs before don't tell: then all inputs add as much error, which for
integers kept at their entropy takes the fewest bits. The error that rounding leaves at one input is
made up for at the inputs before it.

Sources: Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
Transformers", 2023, whose order and triangular factor these are; the steps are those of reverse
water-filling, Cover and Thomas, "Elements of Information Theory", 10.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.codec.narrow_weights import LARGEST_INTEGER, Integers, short_scales
from engine.runtime.weight_layers import LayerInputs, WeightLayer

INT8 = 127
# Of each input's own power and of that of all: what few samples don't show of their inputs.
_OWN_DAMPING, _COMMON_DAMPING = 0.1, 3e-3
_CANCELLED = 1e-9  # of a squared mean: what is left of it in moments about it


class RoundableWeight:
    """A weight as a matrix `(inputs, outputs)`, and what rounding it does to the layer's output."""

    def __init__(self, layer: WeightLayer, weight: NDArray[Any], inputs: LayerInputs) -> None:
        """Factor the moments of the inputs once."""
        self.layer, self._inputs = layer, inputs
        self.shape: tuple[int, ...] = weight.shape
        moved = np.moveaxis(weight, layer.axis, 0).astype(np.float64)
        self._matrix = moved.reshape(len(moved), -1)
        own = np.diag(inputs.moments).clip(min=0)
        common = max(own.mean(), _CANCELLED * np.square(inputs.mean).mean()) or 1.0
        damping = _OWN_DAMPING * own + _COMMON_DAMPING * common
        triangle = np.linalg.cholesky(inputs.moments + np.diag(damping))
        roots = np.diag(triangle)
        self._factor, self._unexplained = triangle / roots, roots

    @property
    def power(self) -> float:
        """Mean square of the layer's outputs, biases apart, which is 0 for no weights."""
        return self.error(np.zeros(self.shape, np.float32))

    def error(self, weight: NDArray[Any]) -> float:
        """Mean square of what changes in the outputs with another weight."""
        apart = self._apart(weight)
        return float(np.sum(self._inputs.moments @ apart * apart) / apart.shape[1])

    def rounded(self, error: float, limit: int = LARGEST_INTEGER) -> Integers:
        """Integers whose steps add about `error` to the mean square, or as little as can be.

        None is larger than `limit`.
        """
        count, outputs = self._matrix.shape
        finest = np.abs(self._matrix).max(axis=1) / limit
        wanted = np.sqrt(12 * error / count) / self._unexplained
        scales = short_scales(np.maximum(np.maximum(wanted, finest), np.finfo(np.float32).tiny))
        integers = np.empty((count, outputs), np.int16)
        left = np.zeros((count, outputs))
        for row in reversed(range(count)):
            target = self._matrix[row] + self._factor[row + 1 :, row] @ left[row + 1 :]
            found = np.clip(np.rint(target / scales[row]), -limit, limit)
            integers[row] = found
            left[row] = self._matrix[row] - found * scales[row]
        return Integers(integers, scales, self.layer.axis, self.shape)

    def bias_for(self, weight: NDArray[Any], bias: NDArray[np.float32]) -> NDArray[np.float32]:
        """The bias with which the outputs keep their mean."""
        shift = -self._inputs.mean @ self._apart(weight)
        return np.asarray(bias + shift.reshape(bias.shape), np.float32)

    def _apart(self, weight: NDArray[Any]) -> NDArray[np.float64]:
        moved = np.moveaxis(weight, self.layer.axis, 0).reshape(self._matrix.shape)
        return np.asarray(moved - self._matrix)
