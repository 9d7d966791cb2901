"""Tests that run on the CPU and, where there is one, on a GPU."""

import numpy as np
import pytest

from engine.runtime.device import cuda_problem
from engine.runtime.device_kernels import HINT, lacks_kernels

NO_GPU = cuda_problem() or (HINT if lacks_kernels("cuda") else None)
needs_gpu = pytest.mark.skipif(NO_GPU is not None, reason=f"needs a GPU: {NO_GPU}")
on_each_device = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_gpu)])

MOST_MOVED = 4e-5


def assert_same_latents(found, expected, device):
    """On the CPU the very same; on a GPU 4 of 10**5 may be one off."""
    apart = np.abs(found.astype(int) - expected.astype(int))
    assert apart.max(initial=0) <= (device == "cuda")
    assert np.count_nonzero(apart) <= np.ceil(MOST_MOVED * apart.size) * (device == "cuda")
