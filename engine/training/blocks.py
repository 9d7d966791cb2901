"""Samples cut into a grid of equal blocks, and these into sub-blocks of half their edge."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from engine.errors import InvalidInput

# Elements of a block at most: more directions than that are neither found nor applied quickly.
_MOST_ELEMENTS = 1024
_LONGEST_EDGE = {1: 64, 2: 16, 3: 8}


@dataclass(frozen=True)
class BlockGrid:
    """Samples `(channels, *spatial)` of one to three spatial axes, in blocks of one edge length.

    Where the edge doesn't divide an axis, its end is repeated, and cut off again.
    """

    shape: tuple[int, ...]
    edge: int

    @property
    def axes(self) -> int:
        """How many spatial axes there are."""
        return len(self.shape) - 1

    @property
    def grid(self) -> tuple[int, ...]:
        """How many blocks there are along each axis."""
        return tuple(math.ceil(size / self.edge) for size in self.shape[1:])

    @property
    def ratio(self) -> int:
        """How many sub-blocks lie along each side of a block."""
        return min(2, self.edge)

    @property
    def elements(self) -> int:
        """Elements of one block, of all channels."""
        return self.shape[0] * math.prod((self.edge,) * self.axes)

    @property
    def sub_elements(self) -> int:
        """Elements of one sub-block, of all channels."""
        return self.elements // math.prod((self.ratio,) * self.axes)

    def split(self, samples: Tensor) -> Tensor:
        """Cut `(batch, *shape)` into sub-blocks `(batch, sub_elements, *(ratio * grid))`."""
        return space_to_depth(self.pad(samples), self.edge // self.ratio)

    def join(self, sub_blocks: Tensor) -> Tensor:
        """Put sub-blocks together to `(batch, *shape)`."""
        return self.crop(depth_to_space(sub_blocks, self.edge // self.ratio))

    def rows(self, samples: Tensor) -> Tensor:
        """Blocks of `(batch, *shape)`, one a row `(n, elements)`.

        A row holds the first elements of all sub-blocks of a block, then their second, and so on.
        """
        return block_rows(space_to_depth(self.split(samples), self.ratio))

    def samples(self, rows: Tensor) -> Tensor:
        """Undo `rows`."""
        blocks = torch.movedim(rows.reshape(-1, *self.grid, self.elements), -1, 1)
        return self.join(depth_to_space(blocks, self.ratio))

    def pad(self, samples: Tensor) -> Tensor:
        """Repeat the ends of `(batch, *shape)` up to whole blocks."""
        missing = [
            count * self.edge - size for count, size in zip(self.grid, self.shape[1:], strict=True)
        ]
        if not any(missing):
            return samples
        pads = tuple(chain.from_iterable((0, after) for after in reversed(missing)))
        return nn.functional.pad(samples, pads, mode="replicate")

    def crop(self, padded: Tensor) -> Tensor:
        """Take off what `pad` added."""
        for axis, size in enumerate(self.shape[1:], 2):
            if padded.shape[axis] != size:
                padded = padded.narrow(axis, 0, size)
        return padded


def block_grid(network_shape: tuple[int, ...]) -> BlockGrid:
    """Choose blocks of 64, 16 x 16 or 8 x 8 x 8 elements, smaller ones of many channels.

    Nor are they longer than the next power of two of the longest axis.

    Raises:
        InvalidInput: there is no spatial axis, or more than three.
    """
    channels, *spatial = network_shape
    if len(spatial) not in _LONGEST_EDGE:
        raise InvalidInput(
            f"arch 'conv-transform' takes samples with one to three spatial axes beside the "
            f"channels, these are {network_shape} to the network: use arch 'transform' or 'klt'"
        )
    edge = _LONGEST_EDGE[len(spatial)]
    while edge > 1 and (
        channels * edge ** len(spatial) > _MOST_ELEMENTS or edge >= 2 * max(spatial)
    ):
        edge //= 2
    return BlockGrid(network_shape, edge)


def space_to_depth(values: Tensor, factor: int) -> Tensor:
    """Map `(batch, channels, *sizes)` to `(batch, channels * factor^axes, *(sizes / factor))`."""
    axes = values.ndim - 2
    for axis in range(axes):
        values = torch.unflatten(values, 2 + 2 * axis, (-1, factor))
    outer, inner = range(2, 2 + 2 * axes, 2), range(3, 3 + 2 * axes, 2)
    return values.permute(0, 1, *inner, *outer).flatten(1, 1 + axes)


def depth_to_space(values: Tensor, factor: int) -> Tensor:
    """Undo `space_to_depth`."""
    axes = values.ndim - 2
    values = torch.unflatten(values, 1, (-1, *(factor,) * axes))
    order = chain.from_iterable((2 + axes + axis, 2 + axis) for axis in range(axes))
    values = values.permute(0, 1, *order)
    for axis in range(axes):
        values = values.flatten(2 + axis, 3 + axis)
    return values


def block_rows(blocks: Tensor) -> Tensor:
    """Blocks, or their latents, `(batch, elements, *grid)`, one a row `(n, elements)`."""
    return blocks.movedim(1, -1).flatten(0, -2)
