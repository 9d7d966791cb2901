"""Graphs that take too much memory, or that end the process by arithmetic."""

import numpy as np

from tests.attacks.models import I64, decoder, node, refused, sizes, weight

# Memory


@refused("bytes of memory")
def expand():
    return decoder([node("Expand", ["step", "n"], ["boom"])], [sizes("n", 1 << 15, 1 << 16)])


@refused("bytes of memory")
def constant_of_shape_at_load():
    return decoder([node("ConstantOfShape", ["n"], ["boom"])], [sizes("n", 1 << 20, 1 << 14)])


@refused("asks for sizes beyond")
def product_of_sizes_that_overflows():
    return decoder([node("ConstantOfShape", ["n"], ["boom"])], [sizes("n", *[1 << 30] * 3)])


@refused("asks for sizes beyond")
def size_that_overflows():
    return decoder([node("ConstantOfShape", ["n"], ["boom"])], [sizes("n", (1 << 63) - 1)])


@refused("asks for sizes beyond")
def range_of_everything():
    bounds = [weight(n, v, np.int64) for n, v in (("a", 0), ("b", (1 << 62)), ("c", 1))]
    return decoder([node("Range", ["a", "b", "c"], ["boom"])], bounds)


@refused("asks for sizes beyond")
def range_without_step():
    bounds = [weight(n, v, np.int64) for n, v in (("a", 0), ("b", 9), ("c", 0))]
    return decoder([node("Range", ["a", "b", "c"], ["boom"])], bounds)


@refused("bytes of memory")
def tile():
    return decoder([node("Tile", ["flat", "n"], ["boom"])], [sizes("n", 1 << 14, 1 << 14)])


@refused("asks for sizes beyond")
def tile_that_wraps():
    return decoder([node("Tile", ["flat", "n"], ["boom"])], [sizes("n", 1, 1 << 62)])


@refused("bytes of memory")
def pad():
    return decoder([node("Pad", ["flat", "n"], ["boom"])], [sizes("n", 0, 0, 0, 1 << 29)])


@refused("bytes of memory")
def resize():
    shaped = node("Reshape", ["flat", "square"], ["image"])
    grown = node("Resize", ["image", "", "by"], ["boom"], mode="nearest")
    weights = [sizes("square", -1, 1, 4, 6), weight("by", [1, 1, 1e4, 1e4])]
    return decoder([shaped, grown], weights)


@refused("asks for sizes beyond")
def resize_by_infinity():
    shaped = node("Reshape", ["flat", "square"], ["image"])
    grown = node("Resize", ["image", "", "by"], ["boom"], mode="nearest")
    return decoder([shaped, grown], [sizes("square", -1, 1, 4, 6), weight("by", [1, 1, np.inf, 1])])


@refused("bytes of memory")
def outer_product():
    nodes = [
        node("Expand", ["step", "column"], ["tall"]),
        node("Expand", ["step", "row"], ["wide"]),
        node("MatMul", ["tall", "wide"], ["boom"]),
    ]
    return decoder(nodes, [sizes("column", 1 << 17, 1), sizes("row", 1, 1 << 17)])


@refused("bytes of memory")
def many_that_live_at_once():
    made = [node("Expand", ["step", "n"], [f"part_{k}"]) for k in range(80)]
    names = [f"part_{k}" for k in range(80)]
    joined = [node("ReduceSum", [name], [f"sum_{name}"]) for name in names]
    total = node("Sum", [*names], ["boom"])
    return decoder([*made, *joined, total], [sizes("n", 1 << 24)])


@refused("bytes of memory")
def transposed_convolution_that_unfolds():
    nodes = [
        node("Reshape", ["step", "one"], ["seed"]),
        node("Expand", ["seed", "image"], ["large"]),
        node("Expand", ["seed", "window"], ["kernel"]),
        node("ConvTranspose", ["large", "kernel"], ["boom"]),
    ]
    shapes = [("one", 1, 1, 1, 1), ("image", 1, 1, 512, 512), ("window", 1, 1, 512, 512)]
    return decoder(nodes, [sizes(*shape) for shape in shapes])


@refused("(4096, 4096) for 4096")
def square_of_the_batch():
    turned = node("Transpose", ["flat"], ["turned"])
    return decoder([turned, node("MatMul", ["flat", "turned"], ["boom"])])


@refused("depends on the data")
def square_of_the_batch_by_its_size():
    nodes = [
        node("Shape", ["flat"], ["shape"]),
        node("Gather", ["shape", "first"], ["samples"]),
        node("Mul", ["samples", "samples"], ["squared"]),
        node("Expand", ["step", "squared"], ["boom"]),
    ]
    return decoder(nodes, [sizes("first", 0)])


@refused("depends on the data")
def bomb_for_one_size_of_batch():
    nodes = [
        node("Shape", ["flat"], ["shape"]),
        node("Gather", ["shape", "first"], ["samples"]),
        node("Equal", ["samples", "seven"], ["is_seven"]),
        node("Where", ["is_seven", "huge", "one"], ["size"]),
        node("Expand", ["step", "size"], ["boom"]),
    ]
    weights = [sizes("first", 0), sizes("seven", 7), sizes("huge", 1 << 30), sizes("one", 1)]
    return decoder(nodes, weights)


@refused("depends on the data")
def size_taken_from_latents():
    nodes = [
        node("Cast", ["latents"], ["wide"], to=I64),
        node("Gather", ["wide", "first"], ["row"]),
        node("Slice", ["row", "first", "end"], ["size"]),
        node("Expand", ["step", "size"], ["boom"]),
    ]
    return decoder(nodes, [weight("first", 0, np.int64), sizes("end", 1)])


@refused("absurd shape")
def too_many_axes():
    axes = sizes("axes", *range(40))
    return decoder([node("Unsqueeze", ["step", "axes"], ["boom"])], [axes])


@refused("attribute 'hidden_size' of LSTM is beyond")
def recurrence_of_absurd_width():
    nodes = [node("LSTM", ["w", "w", "w"], ["boom"], hidden_size=1 << 40)]
    return decoder(nodes, [weight("w", np.ones((1, 4, 1)))])


# Traps in arithmetic


@refused("attribute 'strides' of Conv is beyond")
def stride_of_zero():
    image = node("Reshape", ["flat", "square"], ["image"])
    conv = node("Conv", ["image", "w"], ["boom"], strides=[0, 0])
    return decoder(
        [image, conv], [sizes("square", -1, 1, 4, 6), weight("w", np.ones((1, 1, 1, 1)))]
    )


@refused("attribute 'blocksize' of DepthToSpace is beyond")
def block_that_wraps():
    image = node("Reshape", ["flat", "square"], ["image"])
    grown = node("DepthToSpace", ["image"], ["boom"], blocksize=1 << 32)
    return decoder([image, grown], [sizes("square", -1, 4, 2, 3)])


@refused("divides integers")
def division_that_ends_the_process():
    nodes = [
        node("Cast", ["latents"], ["wide"], to=I64),
        node("Div", ["lowest", "wide"], ["boom"]),
    ]
    return decoder(nodes, [sizes("lowest", -(1 << 63))])


@refused("divides integers")
def division_that_ends_the_process_at_load():
    divided = node("Div", ["lowest", "minus_one"], ["boom"])
    return decoder([divided], [sizes("lowest", -(1 << 63)), sizes("minus_one", -1)])


@refused("the equation of Einsum")
def equation_that_never_ends():
    return decoder([node("Einsum", ["flat"], ["boom"], equation="...a...->")])
