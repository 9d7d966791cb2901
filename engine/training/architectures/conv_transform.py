"""Block transforms that start at the principal directions, each beside a few convolutions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.training.architectures.bounded import UNBOUNDED, Bounds, bounded
from engine.training.architectures.conv import CONVOLUTIONS
from engine.training.architectures.rated import Rated
from engine.training.blocks import BlockGrid, depth_to_space, space_to_depth

WIDTH, HIDDEN = 96, 192
ENCODER_LAYERS, DECODER_LAYERS = 2, 2
_KERNEL = 3
_WEIGHT_DECAY = 0.1
_SMALL = 0.1
_SMALLER = 0.03


@dataclass(frozen=True, eq=False)
class BlockMaps:
    """The linear codec of the blocks of a grid, float32.

    `mean`, of a sample, is `(channels, *spatial)` or `(channels, 1, ...)`. A block less its mean is
    `offset` `(elements,)` plus orthonormal `vectors` `(elements, latent channels)` times latents.
    """

    grid: BlockGrid
    mean: Tensor
    offset: Tensor
    vectors: Tensor


class LinearEncoder(nn.Module):
    """Blocks of samples, less their mean, along the principal directions, in units of `step`."""

    mean: Tensor

    def __init__(self, maps: BlockMaps, step: float = 1.0) -> None:
        super().__init__()
        self.grid = maps.grid
        self.register_buffer("mean", maps.mean)
        self.linear = pointwise(maps.grid.axes, *maps.vectors.shape)
        with torch.no_grad():
            _weights(self.linear).copy_(maps.vectors.T / step)
            _bias(self.linear).copy_(-(maps.offset @ maps.vectors) / step)

    def forward(self, samples: Tensor) -> Tensor:
        """Map `(batch, *shape)` to `(batch, latent channels, *grid)`."""
        return self.project(self.grid.split(samples - self.mean))

    def project(self, sub_blocks: Tensor) -> Tensor:
        """Map centred sub-blocks to latents."""
        latents: Tensor = self.linear(space_to_depth(sub_blocks, self.grid.ratio))
        return latents


class LinearDecoder(nn.Module):
    """Samples from latents in units of `step`."""

    mean: Tensor

    def __init__(self, maps: BlockMaps, step: float = 1.0) -> None:
        super().__init__()
        self.grid, self.step = maps.grid, step
        self.register_buffer("mean", maps.mean)
        self.linear = pointwise(maps.grid.axes, *reversed(maps.vectors.shape))
        with torch.no_grad():  # unscaled, so that it learns as fast at any step
            _weights(self.linear).copy_(maps.vectors)
            _bias(self.linear).copy_(maps.offset / step)

    def forward(self, latents: Tensor) -> Tensor:
        """Map `(batch, latent channels, *grid)` to `(batch, *shape)`."""
        return self.finish(self.project(latents))

    def project(self, latents: Tensor) -> Tensor:
        """Map latents to centred sub-blocks, in steps."""
        return depth_to_space(self.linear(latents), self.grid.ratio)

    def finish(self, sub_blocks: Tensor) -> Tensor:
        """Map centred sub-blocks, in steps, to samples."""
        samples: Tensor = self.grid.join(sub_blocks * self.step) + self.mean
        return samples


class MixingLayer(nn.Module):
    """Adds to each position what a small network makes of it and its neighbours.

    Source: the block of Liu et al., "A ConvNet for the 2020s", 2022, without normalisation, which
    would hide how large values are.
    """

    def __init__(self, axes: int) -> None:
        super().__init__()
        convolution, _ = CONVOLUTIONS[axes]
        self.neighbours = convolution(WIDTH, WIDTH, _KERNEL, padding=_KERNEL // 2, groups=WIDTH)
        self.hidden = pointwise(axes, WIDTH, HIDDEN)
        self.output = pointwise(axes, HIDDEN, WIDTH, scale=_SMALL)

    def forward(self, values: Tensor) -> Tensor:
        """Map `(batch, width, *positions)` to the same shape."""
        added = self.output(nn.functional.gelu(self.hidden(self.neighbours(values))))
        result: Tensor = values + added
        return result


class ConvEncoder(nn.Module):
    """The linear map of blocks, plus what convolutions over their sub-blocks make."""

    def __init__(self, maps: BlockMaps, step: float, deviation: float) -> None:
        super().__init__()
        grid, channels = maps.grid, maps.vectors.shape[1]
        self.linear, self.step = LinearEncoder(maps, step), step
        self.enter = pointwise(grid.axes, grid.sub_elements, WIDTH, scale=1 / deviation)
        self.layers = nn.Sequential(*(MixingLayer(grid.axes) for _ in range(ENCODER_LAYERS)))
        self.leave = pointwise(grid.axes, WIDTH * grid.ratio**grid.axes, channels, scale=_SMALLER)

    def forward(self, samples: Tensor) -> Tensor:
        """Map `(batch, *shape)` to `(batch, latent channels, *grid)`."""
        grid = self.linear.grid
        sub_blocks = grid.split(samples - self.linear.mean)
        features = space_to_depth(self.layers(self.enter(sub_blocks)), grid.ratio)
        latents: Tensor = (self.linear.project(sub_blocks) + self.leave(features)) * self.step
        return latents


class ConvDecoder(nn.Module):
    """The linear map back to blocks, plus what convolutions over their sub-blocks make."""

    def __init__(self, maps: BlockMaps, step: float) -> None:
        super().__init__()
        grid, channels = maps.grid, maps.vectors.shape[1]
        self.linear, self.step = LinearDecoder(maps, step), step
        self.enter = pointwise(grid.axes, channels, WIDTH * grid.ratio**grid.axes)
        self.layers = nn.Sequential(*(MixingLayer(grid.axes) for _ in range(DECODER_LAYERS)))
        self.leave = pointwise(grid.axes, WIDTH, grid.sub_elements, scale=_SMALLER)

    def forward(self, latents: Tensor) -> Tensor:
        """Map `(batch, latent channels, *grid)` to `(batch, *shape)`."""
        integers = latents * (1 / self.step)
        features = depth_to_space(self.enter(integers), self.linear.grid.ratio)
        added = self.leave(self.layers(features))
        return self.linear.finish(self.linear.project(integers) + added)


class ConvTransform(Rated):
    """A nonlinear transform of blocks and their neighbours, for samples of any size.

    Latents have a position for each block, all of which share the channels' densities.
    """

    summary = "block transforms that start at the KLT, each beside convolutions, for a rate"

    def __init__(
        self,
        maps: BlockMaps,
        deviations: Tensor,
        step: float,
        price: float,
        *,
        bounds: Bounds = UNBOUNDED,
        residual_step: float | None = None,
    ) -> None:
        """Start at a linear codec, whose latents have `deviations` `(channels,)`.

        Samples keep within `bounds`, as the network sees them. Where residuals of a step bound the
        error, it is trained for their bits, too.
        """
        elements = maps.vectors.shape[0]
        deviation = max(float(deviations.square().sum() / elements) ** 0.5, step / elements**0.5)
        super().__init__(
            ConvEncoder(maps, step, deviation),
            nn.Sequential(ConvDecoder(maps, step), *bounded(bounds)),
            deviations,
            step,
            price,
            residual_step,
        )

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Only the matrices of the convolutions decay: the linear maps are right from the start."""
        groups: dict[bool, list[nn.Parameter]] = {False: [], True: []}
        for name, weight in self.named_parameters():
            decays = weight.ndim > 2 and ".linear." not in name
            groups[decays].append(weight)
        return [{"params": groups[False]}, {"params": groups[True], "weight_decay": _WEIGHT_DECAY}]


def pointwise(axes: int, inner: int, outer: int, scale: float = 1.0) -> nn.Module:
    """A convolution of one element, its weights those of torch times `scale`, its biases 0."""
    layer = CONVOLUTIONS[axes][0](inner, outer, 1)
    with torch.no_grad():
        layer.get_parameter("weight").mul_(scale)
        layer.get_parameter("bias").zero_()
    return layer


def _weights(layer: nn.Module) -> Tensor:
    """Weights of a pointwise convolution as a matrix `(outer, inner)`."""
    return layer.get_parameter("weight").flatten(1)


def _bias(layer: nn.Module) -> Tensor:
    return layer.get_parameter("bias")
