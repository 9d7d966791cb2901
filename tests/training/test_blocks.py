"""Samples of any size are cut into blocks and put together again."""

import pytest
import torch
from torch import nn

from engine.errors import InvalidInput
from engine.training.blocks import (
    BlockGrid,
    block_grid,
    block_rows,
    depth_to_space,
    space_to_depth,
)

SHAPES = [(1, 257), (1, 28, 28), (3, 17, 13), (5, 40, 9), (1, 8, 9, 10), (2, 1), (1, 1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_give_back_what_they_were_cut_from(shape):
    grid = block_grid(shape)
    samples = torch.rand(3, *shape)
    assert grid.elements <= 1024
    assert torch.equal(grid.join(grid.split(samples)), samples)
    rows = grid.rows(samples)
    assert rows.shape == (3 * torch.Size(grid.grid).numel(), grid.elements)
    assert torch.equal(grid.samples(rows), samples)


def test_a_row_is_a_block():
    samples = torch.arange(64.0).reshape(1, 1, 8, 8)
    rows = BlockGrid((1, 8, 8), 4).rows(samples)
    assert torch.equal(rows[1].sort().values, samples[0, 0, :4, 4:].flatten())
    assert rows[1, :4].tolist() == [4, 6, 20, 22]  # the first element of each sub-block


def test_what_is_missing_repeats_the_end():
    padded = BlockGrid((1, 3), 4).pad(torch.tensor([[[1.0, 2.0, 5.0]]]))
    assert padded.tolist() == [[[1, 2, 5, 5]]]


def test_space_to_depth_is_that_of_torch_and_onnx():
    values = torch.rand(2, 3, 8, 12)
    deep = space_to_depth(values, 4)
    assert torch.equal(deep, nn.functional.pixel_unshuffle(values, 4))
    assert torch.equal(depth_to_space(deep, 4), values)
    assert torch.equal(block_rows(deep)[1], deep[0, :, 0, 1])


@pytest.mark.parametrize("shape", [(384,), (1, 2, 2, 2, 2)])
def test_other_numbers_of_axes_are_refused(shape):
    with pytest.raises(InvalidInput, match=r"one to three spatial axes.*'transform'"):
        block_grid(shape)
