"""Grows the decision tree of the contextual coder, greedily by what each split saves."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.store.context_model import MOST_NODES, MOST_THRESHOLD

_FEWEST_ROWS = 64
_SPLIT_BITS, _SYMBOL_BITS = 60.0, 10.0  # what a node and a symbol of its table take in metadata


@dataclass
class Node:
    """A node while the tree grows: its rows are `order[start:stop]`.

    `children` are the nodes of values up to `threshold` of the property numbered `asked`, and
    above; there are none at a leaf.
    """

    start: int
    stop: int
    predictor: int
    asked: int = 0
    threshold: int = 0
    children: tuple[Node, ...] = ()

    def preorder(self) -> list[Node]:
        """This node and all below, each followed by its low child, if it has any."""
        nodes, waiting = [], [self]
        while waiting:
            nodes.append(waiting.pop())
            waiting += reversed(nodes[-1].children)
        return nodes


class Grower:
    """Values that a tree is grown on: what may be asked of each, and what each costs."""

    def __init__(
        self,
        properties: NDArray[np.int32],
        classes: NDArray[np.uint8],
        widths: NDArray[np.float64],
        share: float,
    ) -> None:
        """Of properties `(asked, n)` and classes of differences `(predictors + 1, n)`.

        `widths` are the bits that tell the integers of each class apart, `share` is the part that
        these values are of all that will be coded.
        """
        from engine.store import context_tree_loops

        self._loops, self._classes, self._share = context_tree_loops, classes, share
        self._thresholds = [_thresholds(row) for row in properties]
        self._bins = np.empty(properties.shape, np.uint8)
        for place, (thresholds, row) in enumerate(zip(self._thresholds, properties, strict=True)):
            self._bins[place] = np.searchsorted(thresholds, row)
        numbers = np.arange(properties.shape[1] + 1)
        self._logs = numbers * np.log2(np.maximum(1, numbers))
        self._widths = widths
        self._order = numbers[:-1].copy()

    def grow(self) -> Node:
        """Split the node that saves most, as long as one saves more than it costs."""
        root = self._node(0, self._order.size)
        waiting: list[tuple[float, int, Node, int]] = []
        count = 1
        self._consider(waiting, [root])
        while waiting and count + 2 <= MOST_NODES:
            _, _, node, last = heapq.heappop(waiting)
            middle = self._part(node, last)
            node.threshold = int(self._thresholds[node.asked][last])
            node.children = self._node(node.start, middle), self._node(middle, node.stop)
            self._consider(waiting, node.children)
            count += 2
        return root

    def _node(self, start: int, stop: int) -> Node:
        """A leaf, with the predictor of least entropy."""
        rows = self._order[start:stop]
        counts = [np.bincount(each[rows], minlength=self._widths.size) for each in self._classes]
        # Within a class, all values are as likely.
        bits = [each @ self._widths - self._logs[each].sum() for each in counts]
        return Node(start, stop, int(np.argmin(bits)))

    def _consider(self, waiting: list[Any], nodes: Sequence[Node]) -> None:
        """Add nodes that are worth splitting to the heap `waiting`, by what that saves."""
        for node in nodes:
            rows = self._order[node.start : node.stop]
            if rows.size < _FEWEST_ROWS:
                continue
            classes = self._classes[node.predictor]
            saved, node.asked, last, symbols = self._loops.best_split(
                rows, self._bins, classes, self._logs
            )
            if saved > self._cost(rows.size, symbols):
                heapq.heappush(waiting, (-saved, node.start, node, last))

    def _cost(self, rows: int, symbols: int) -> float:
        """Bits of a split: what few values promise too much (Rissanen 1978), or else metadata.

        Three fifths of Rissanen's penalty gave the fewest bytes on chunks not fitted to.
        """
        promised = 0.3 * symbols * math.log2(rows) + 10
        return max(promised, self._share * (_SPLIT_BITS + _SYMBOL_BITS * symbols))

    def _part(self, node: Node, last: int) -> int:
        """Move the rows up to bin `last` before the others; where these begin."""
        rows = self._order[node.start : node.stop]
        low = self._bins[node.asked][rows] <= last
        self._order[node.start : node.stop] = np.concatenate([rows[low], rows[~low]])
        return node.start + int(low.sum())


def _thresholds(row: NDArray[np.int32]) -> NDArray[np.int32]:
    """Up to 31 values that part a property into bins as full as can be, the last of each bin."""
    from engine.store import context_tree_loops

    some = np.sort(row[:: max(1, row.size >> 15)])
    for wanted in (4 * context_tree_loops.BINS, context_tree_loops.BINS):
        found = np.unique(some[np.linspace(0, some.size - 1, wanted).astype(np.int64)])
        if found.size <= context_tree_loops.BINS:
            break
    return np.clip(found[:-1], -MOST_THRESHOLD, MOST_THRESHOLD)
