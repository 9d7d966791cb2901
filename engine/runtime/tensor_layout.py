"""Whether convolutions run faster with channels last, on this GPU: measured where it's allowed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import numpy as np

from engine.codec.files import DECODER, ENCODER
from engine.codec.graph_model import parse_model
from engine.errors import EngineError
from engine.runtime.codec import Codec
from engine.runtime.cuda_options import EXACT, CudaOptions
from engine.runtime.network_lane import NetworkLane

_CONVOLUTIONS = ("Conv", "ConvTranspose")
_TRIALS, _RUNS = 3, 4


def choose_layout(
    codec: Codec, roles: tuple[str, ...], open_lane: Callable[[CudaOptions], NetworkLane]
) -> CudaOptions:
    """The options of the faster layout for the networks that `roles` names.

    Without convolutions there is no choice. The layouts differ in the last bits of floats, as two
    devices do, so this is not for what decodes under a guarantee.

    Raises:
        InvalidInput: an unusable step.
        CorruptCodec: onnxruntime can't load a network.
        DeviceUnavailable: the device has too little memory, or fails.
    """
    if codec.device != "cuda" or not any(_convolves(codec, role) for role in roles):
        return EXACT
    lanes = {EXACT: open_lane(EXACT)}
    other = CudaOptions(nhwc=True)
    with contextlib.suppress(EngineError):  # not every operator has kernels for it
        lanes[other] = open_lane(other)
    return min(lanes, key=lambda options: seconds(lanes[options], roles))


def seconds(lane: NetworkLane, roles: tuple[str, ...]) -> float:
    """The least time of several trials that a lane takes for a few whole batches."""
    with lane.queue:
        batch = np.zeros_like(lane.samples.download(lane.batch_samples))
    found = []
    for _ in range(_TRIALS):
        began = time.perf_counter()
        for _ in range(_RUNS):
            with lane.queue:
                if ENCODER in roles:
                    lane.encode(batch)
                if DECODER in roles:
                    lane.decode(len(batch))
        found.append(time.perf_counter() - began)
    return min(found)


def _convolves(codec: Codec, role: str) -> bool:
    nodes = parse_model(codec.files.role(role)).graph.node
    return any(node.op_type in _CONVOLUTIONS for node in nodes)
