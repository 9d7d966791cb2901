import numpy as np
import pytest
import torch

from engine.training.distortion import DISTORTIONS


def test_mean_squared_error():
    found = DISTORTIONS["mse"](torch.tensor([0.0, 0.5]), torch.tensor([1.0, 0.0]))
    assert found.item() == pytest.approx(0.625)


def test_binary_cross_entropy_clamps_to_the_unit_interval():
    reconstruction = torch.tensor([0.25, 0.5, 1.5], requires_grad=True)
    found = DISTORTIONS["bce"](reconstruction, torch.tensor([-0.01, 1.0, 1.2]))
    assert found.item() == pytest.approx(-(np.log(0.75) + np.log(0.5)) / 3)
    found.backward()
    assert torch.isfinite(reconstruction.grad).all()


@pytest.mark.parametrize("name", DISTORTIONS)
def test_distortions_are_float32_under_mixed_precision(name):
    weights = torch.rand(4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        reconstruction = torch.sigmoid(torch.rand(2, 4) @ weights)
        assert reconstruction.dtype == torch.bfloat16
        assert DISTORTIONS[name](reconstruction, torch.rand(2, 4)).dtype == torch.float32
