"""What lies between samples and latents: the values inside a network's graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from engine.runtime.codec import batch_samples, batches
from engine.runtime.session import Network

_STEP = np.ones(1, np.float32)


class ObservedNetwork:
    """A network that returns float32 values by name instead of its result."""

    def __init__(self, model: ModelProto, names: Iterable[str]) -> None:
        """Open `model` on the CPU; `names` are values that its nodes make."""
        self._names = list(dict.fromkeys(names))
        observed = ModelProto()
        observed.CopyFrom(model)
        del observed.graph.output[:]
        observed.graph.output.extend(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self._names
        )
        self._network = Network(observed.SerializeToString(), "cpu", threads=1)
        self.input_name: str = self._network.input_name

    def __call__(self, batch: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The values that a batch `(n, *shape)` of what the network takes leads to, at step 1."""
        fed = {self.input_name: batch, "step": _STEP}
        with self._network.failures_named():
            return dict(zip(self._names, self._network.session.run(self._names, fed), strict=True))

    def ranges(self, samples: NDArray[Any]) -> dict[str, tuple[float, float]]:
        """Smallest and largest of each value over all samples; zero always lies within."""
        ranges = dict.fromkeys(self._names, (0.0, 0.0))
        for start, stop in batches(len(samples), batch_samples(samples.shape[1:])):
            for name, values in self(samples[start:stop]).items():
                low, high = ranges[name]
                ranges[name] = min(low, float(values.min())), max(high, float(values.max()))
        return ranges
