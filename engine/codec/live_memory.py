"""How much memory the values of a graph take at once, whatever the order its nodes run in."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

_TRIED_CHAINS = 256


@dataclass(frozen=True)
class Step:
    """One node: the values it takes and makes, by number, and the bytes it works with besides."""

    takes: tuple[int, ...]
    makes: tuple[int, ...]
    workspace_bytes: int = 0


def peak_bytes(steps: Sequence[Step], sizes: Sequence[int]) -> int:
    """A bound on the memory that `steps` need at once; `sizes` are those of the values, in bytes.

    Steps run one at a time, in any order that makes values before they are taken; a value lives
    until the last step that takes it. Where every step that takes v must have run before w is
    made, v and w never live at once. So values are put into chains, of which each is over before
    the next begins; of a chain one value lives at a time, beside those of the running step.
    """
    made_by = {value: number for number, step in enumerate(steps) for value in step.makes}
    taken_by = [0] * len(sizes)
    for number, step in enumerate(steps):
        for value in step.takes:
            taken_by[value] |= 1 << number
    before = _runs_before(steps, made_by)
    chains: OrderedDict[int, int] = OrderedDict()  # last value of a chain -> its largest size
    for number, step in enumerate(steps):
        for value in step.makes:
            last = _ended_chain(chains, taken_by, before[number], sizes[value])
            largest = chains.pop(last) if last is not None else 0
            chains[value] = max(largest, sizes[value])
    running = max((_running_bytes(step, sizes) for step in steps), default=0)
    return sum(chains.values()) + running


def _runs_before(steps: Sequence[Step], made_by: dict[int, int]) -> list[int]:
    """Per step a mask of the steps that run no later than it."""
    before: list[int] = []
    for number, step in enumerate(steps):
        mask = 1 << number
        for value in step.takes:
            if value in made_by:
                mask |= before[made_by[value]]
        before.append(mask)
    return before


def _ended_chain(
    chains: OrderedDict[int, int], taken_by: Sequence[int], before: int, size_bytes: int
) -> int | None:
    """The last value of a chain that is over, and as large as can be up to the new value."""
    tried = itertools.islice(reversed(chains.items()), _TRIED_CHAINS)
    ended = [
        (large, last) for last, large in tried if taken_by[last] and not taken_by[last] & ~before
    ]
    fitting = [pair for pair in ended if pair[0] >= size_bytes]
    if fitting:
        return min(fitting)[1]
    return max(ended)[1] if ended else None


def _running_bytes(step: Step, sizes: Sequence[int]) -> int:
    return sum(sizes[value] for value in {*step.takes, *step.makes}) + step.workspace_bytes
