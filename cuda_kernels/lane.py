"""A stream of a device and the memory that goes with it; on the CPU the same without a stream."""

import contextlib
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from cuda_kernels.array import dtype_of
from cuda_kernels.capture_gate import GATE

Tensor: TypeAlias = torch.Tensor
"""What a lane hands out."""


class Lane:
    """Copies and kernels that are queued in a `with` block run in order, beside those of others.

    Only one thread may use a lane. At the end of the block all that was queued is done, so its
    results can be read, and memory that it used be let go of, by anyone. The copy engines of a GPU
    are apart from its processors: while one lane copies, another computes.
    """

    def __init__(self, device: str) -> None:
        """Take a stream of `device`: `cpu` or `cuda`, which is the first GPU, as in onnxruntime."""
        self._device = torch.device("cuda:0" if device == "cuda" else device)
        self._stream = _new_stream(self._device) if device == "cuda" else None
        self._entered = contextlib.ExitStack()

    @property
    def stream(self) -> int:
        """The address of the CUDA stream, 0 on the CPU."""
        return 0 if self._stream is None else int(self._stream.cuda_stream)

    def __enter__(self) -> "Lane":
        with contextlib.ExitStack() as entered:
            entered.enter_context(GATE.working())
            if self._stream is not None:
                # Memory that comes from the caller's stream may still be in use there.
                self._stream.wait_stream(torch.cuda.current_stream(self._device))
                entered.enter_context(torch.cuda.stream(self._stream))
            self._entered = entered.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._entered:
            if self._stream is not None:
                self._stream.synchronize()

    def zeros(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Tensor:
        """Memory of the device, set to 0."""
        zeros = self.empty(shape, dtype)
        as_bits(zeros).zero_()
        return zeros

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Tensor:
        """Memory of the device, not set to anything."""
        return torch.empty(shape, dtype=_dtype(dtype), device=self._device)

    def mirror(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> "Mirror":
        """Memory of the device, set to 0, with as much on the host."""
        return Mirror(self._pinned(shape, dtype), self.zeros(shape, dtype))

    def upload(self, array: NDArray[Any]) -> Tensor:
        """A copy of `array` on the device."""
        staged = self._pinned(array.shape, array.dtype)
        np.copyto(staged.numpy(), array)
        return self.empty(array.shape, array.dtype).copy_(staged, non_blocking=True)

    def download(self, tensor: Tensor) -> NDArray[Any]:
        """A copy of `tensor` on the host, to be read after the end of the block."""
        staged = self._pinned(tuple(tensor.shape), dtype_of(tensor))
        copied: NDArray[Any] = staged.copy_(tensor, non_blocking=True).numpy()
        return copied

    def _pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Tensor:
        """Memory of the host that a GPU copies by itself; torch keeps it for the next who asks."""
        return torch.empty(shape, dtype=_dtype(dtype), pin_memory=self._stream is not None)


class Mirror:
    """An array `(rows, ...)` of a device, and one on the host that its rows go through."""

    def __init__(self, staged: Tensor, device: Tensor) -> None:
        """Pair two tensors of one shape and dtype."""
        self._staged, self.device = staged, device
        self._host: NDArray[Any] = staged.numpy()

    def upload(self, rows: NDArray[Any]) -> None:
        """Queue a copy of `rows` to the first rows on the device.

        Work that was queued before with other rows must be done.
        """
        count = len(rows)
        np.copyto(self._host[:count], rows)
        self.device[:count].copy_(self._staged[:count], non_blocking=True)

    def download(self, count: int) -> NDArray[Any]:
        """Queue a copy of the first rows to the host, where they stay until the next one.

        They can be read after the end of the lane's block.
        """
        self._staged[:count].copy_(self.device[:count], non_blocking=True)
        return self._host[:count]


def for_caller(device: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Tensor:
    """Memory of the device that outlives a lane: it belongs to the stream that the caller is on."""
    place = "cuda:0" if device == "cuda" else device
    with GATE.working():
        return torch.empty(shape, dtype=_dtype(dtype), device=place)


def is_usable(device: str) -> bool:
    """Whether torch can use `device`: one that was built for the CPU alone sees no GPU."""
    return device == "cpu" or torch.cuda.is_available()


def as_bits(values: Tensor) -> Tensor:
    """The same memory as signed integers: torch does little with unsigned ones, but for bytes."""
    signed = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return values.view(signed[values.element_size()])


def _new_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _dtype(dtype: np.dtype[Any]) -> torch.dtype:
    found: torch.dtype = getattr(torch, np.dtype(dtype).name)
    return found
