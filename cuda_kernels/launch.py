"""How the kernels are launched."""

from typing import Any

import triton

ELEMENTS_PER_WARP = 64  # two for each thread: with four the compiler runs out of registers
MOST_WARPS = 8


def launch_options(elements: int) -> dict[str, Any]:
    """Return the `block` of elements that a program takes at a time, and the options of Triton.

    A block is no wider than `elements` need, so that programs for small samples are small and many
    run side by side. Multiplication and addition are never fused: fused, they round once, where the
    reference rounds twice.
    """
    largest_block = ELEMENTS_PER_WARP * MOST_WARPS
    block = min(max(triton.next_power_of_2(elements), ELEMENTS_PER_WARP), largest_block)
    return {
        "block": block,
        "num_warps": block // ELEMENTS_PER_WARP,
        "enable_fp_fusion": False,
    }
