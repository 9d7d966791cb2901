"""A lane of whole batches is one of CUDA graphs where these can be captured, else one without."""

import numpy as np
import onnxruntime
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import EPFail, Fail

from engine.codec.files import DECODER
from engine.errors import DeviceUnavailable
from engine.runtime.network_lane import LaneDecoder, open_captured_lane

from ..devices import on_each_device

pytest.importorskip("torch")

BATCH = 16
# What onnxruntime and torch raise where a graph can't be captured, or after it couldn't be.
FAILURES = [
    Fail("CUDA failure 900: operation not permitted when stream is capturing"),
    EPFail("CUDA failure 901: operation failed due to a previous error\nduring capture"),
    RuntimeError("Error when binding input: no memory"),
    MemoryError(),
]
fails = pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
at_once = pytest.mark.parametrize("method", ["__init__", "io_binding", "run_with_iobinding"])


@pytest.fixture
def failing(monkeypatch):
    """Let a method of sessions fail: `failing(method, failure, times)`."""

    def begin(method, failure, times):
        real, failures = getattr(onnxruntime.InferenceSession, method), [failure] * times

        def maybe(*arguments, **options):
            if failures:
                raise failures.pop()
            return real(*arguments, **options)

        monkeypatch.setattr(onnxruntime.InferenceSession, method, maybe)

    return begin


@pytest.fixture
def rows_run(monkeypatch):
    """How many rows each run had."""
    rows, run = [], onnxruntime.InferenceSession.run_with_iobinding

    def counted(session, binding, options=None):
        run(session, binding, options)
        rows.append(binding.get_outputs()[0].shape()[0])

    monkeypatch.setattr(onnxruntime.InferenceSession, "run_with_iobinding", counted)
    return rows


@pytest.fixture(scope="module")
def latents(digits_codec, digits):
    return digits_codec.encode(digits[:5])


def check_decoding(codec, lane, latents, device):
    found = LaneDecoder(codec, lane).reconstruct(latents, 1.0)
    expected = codec.reconstruct(latents, 1.0).reshape(len(latents), -1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0 if device == "cpu" else 1e-2)


@on_each_device
def test_captured_runs_are_of_whole_batches(digits_codec, latents, rows_run, device):
    codec = digits_codec.on(device)
    lane = open_captured_lane(codec, 1.0, BATCH, (DECODER,))
    check_decoding(codec, lane, latents, device)
    assert rows_run == [BATCH, BATCH]
    assert lane.is_captured == (device == "cuda")


@on_each_device
@fails
@at_once
def test_what_cannot_be_captured_runs_without_a_graph(
    method, failure, digits_codec, latents, rows_run, failing, device
):
    codec = digits_codec.on(device)
    failing(method, failure, 1)
    lane = open_captured_lane(codec, 1.0, BATCH, (DECODER,))
    check_decoding(codec, lane, latents, device)
    assert rows_run == [BATCH, 8]  # the smallest power of two that holds them
    assert not lane.is_captured


@on_each_device
@fails
@pytest.mark.parametrize("method", ["io_binding", "run_with_iobinding"])
def test_what_fails_without_a_graph_too_is_named(method, failure, digits_codec, failing, device):
    failing(method, failure, 2)
    with pytest.raises(DeviceUnavailable) as raised:
        open_captured_lane(digits_codec.on(device), 1.0, BATCH, (DECODER,))
    assert "\n" not in str(raised.value)
