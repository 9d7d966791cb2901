import random

from hypothesis import given
from hypothesis import strategies as st

from engine.codec.live_memory import Step, peak_bytes


@st.composite
def graphs(draw):
    """Steps that take earlier values, in an order that is one of many."""
    sizes, steps = [], []
    for _ in range(draw(st.integers(1, 14))):
        takes = draw(st.sets(st.integers(0, len(sizes) - 1), max_size=3)) if sizes else set()
        makes = range(len(sizes), len(sizes) + draw(st.integers(1, 2)))
        sizes += [draw(st.integers(0, 1000)) for _ in makes]
        steps.append(Step(tuple(takes), tuple(makes), draw(st.integers(0, 100))))
    return steps, sizes


def measured_peak(steps, sizes, rng):
    """Largest sum of what lives at once when the steps run in an order drawn by `rng`."""
    waiting, made, live, peak = list(steps), set(), set(), 0
    while waiting:
        step = rng.choice([step for step in waiting if set(step.takes) <= made])
        waiting.remove(step)
        made |= set(step.makes)
        live |= set(step.makes)
        peak = max(peak, sum(sizes[value] for value in live) + step.workspace_bytes)
        live = {value for value in live if any(value in later.takes for later in waiting)}
    return peak


@given(graphs(), st.integers(0, 1 << 30))
def test_no_order_of_steps_needs_more(graph, seed):
    rng = random.Random(seed)
    bound = peak_bytes(*graph)
    assert all(measured_peak(*graph, rng) <= bound for _ in range(20))


def test_a_chain_needs_as_much_as_its_largest_step():
    """However long: one value lives, and a step has its operand and its result."""
    steps = [Step((), (0,)), *(Step((k,), (k + 1,)) for k in range(99))]
    assert peak_bytes(steps, [10] * 100) == 10 + 20


def test_branches_live_beside_each_other():
    steps = [Step((), (0,)), Step((0,), (1,)), Step((0,), (2,)), Step((1, 2), (3,))]
    assert peak_bytes(steps, [10] * 4) == 30 + 30


def test_a_residual_block_keeps_what_it_adds():
    """x, a chain of three beside it, and the sum; then the same again, in the same memory."""
    block = [(0,), (1,), (2,), (0, 3)]
    steps = [Step((), (0,))]
    for first in range(0, 80, 4):
        steps += [
            Step(tuple(first + k for k in takes), (first + 1 + place,))
            for place, takes in enumerate(block)
        ]
    assert peak_bytes(steps, [10] * (len(steps))) == 20 + 30
