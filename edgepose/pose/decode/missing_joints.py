"""Where a joint that grouping left out can be: cells bounded block by block.

The place is where heatmap − round(distance of the tag to the person's) is highest. No cell of a
block has more than the block's highest value and nearest tags allow: few blocks are looked into.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

_ROUNDING = np.float32(1e-3)  # by which a distance may come out smaller than its bound
_JOINTS = 32  # looked for at a time: their bounds stay in the CPU's cache
_PIECE = 1024  # blocks looked into at a time
_FIRST = 3  # blocks that are looked into one by one, to learn which others can be left out

Floats32 = NDArray[np.float32]
Numbers = NDArray[np.int64]
# Scores [M, side²] of the cells of M blocks, in reading order: (number of the wanted, the block's).
Look = Callable[[Numbers, Numbers], Floats32]


@dataclass(frozen=True, eq=False)
class Bounds:
    """Of each block of each joint's map: ``highest`` value [K, B], its tags' ends [T, K, B].

    Blocks are in reading order, ``columns`` of them in a row, ``side`` cells each way.
    """

    highest: Floats32
    low: Floats32
    high: Floats32
    columns: int
    side: int

    def of(self, joints: Numbers, wanted: Floats32) -> Floats32:
        """The most that each block can score for ``joints`` [N] and tags ``wanted``: [N, B]."""
        away = []
        for low, high, tag in zip(self.low, self.high, wanted.T[:, :, None], strict=True):
            beside = np.maximum(low[joints] - tag, tag - high[joints])
            away.append(np.maximum(beside, 0, out=beside))
        least = length(away)
        np.rint(np.subtract(least, _ROUNDING, out=least), out=least)
        most: Floats32 = self.highest[joints] - np.maximum(least, 0, out=least)
        return most


def length(differences: Sequence[Floats32]) -> Floats32:
    """Of vectors whose numbers are in arrays of one shape; they are overwritten."""
    if len(differences) == 1:
        return np.abs(differences[0], out=differences[0])
    with np.errstate(over="ignore"):  # bounds of tags that are no numbers may be as large as any
        squared = reduce(np.add, (np.square(each, out=each) for each in differences))
    root: Floats32 = np.sqrt(squared, out=squared)
    return root


def most_likely(bounds: Bounds, joints: Numbers, wanted: Floats32, look: Look) -> Numbers:
    """Cells [N, 2] (x, y), the best for each of ``joints`` [N] and the tags ``wanted`` [N, T].

    It is the first one in reading order where several are equally good.
    """
    numbers = np.arange(len(joints))
    parts = [numbers[start : start + _JOINTS] for start in range(0, len(joints), _JOINTS)]
    found = [_best_cells(bounds, bounds.of(joints[p], wanted[p]), p, look) for p in parts]
    return np.concatenate(found)


@dataclass(frozen=True, eq=False)
class _Tried:
    """The best cell of each block that was looked into: ``rows`` [M], ``cells`` [M, 2], ``scores``.

    A row is one of the joints that are wanted.
    """

    rows: Numbers
    cells: Numbers
    scores: Floats32

    def winners(self) -> Numbers:
        """For each row the number of its best cell, the first one in reading order."""
        best = np.full(self.rows.max() + 1, -np.inf, np.float32)
        np.maximum.at(best, self.rows, self.scores)
        last = np.flatnonzero(self.scores == best[self.rows])
        x, y = self.cells[last].T
        order = last[np.lexsort((x, y, self.rows[last]))]
        first: Numbers = order[np.unique(self.rows[order], return_index=True)[1]]
        return first


def _joined(tried: Sequence[_Tried]) -> _Tried:
    rows, cells, scores = zip(*((one.rows, one.cells, one.scores) for one in tried), strict=True)
    return _Tried(np.concatenate(rows), np.concatenate(cells), np.concatenate(scores))


def _best_cells(bounds: Bounds, limits: Floats32, numbers: Numbers, look: Look) -> Numbers:
    """The same for the wanted with ``numbers`` [N] only, whose blocks' ``limits`` are [N, B]."""

    def look_into(rows: Numbers, blocks: Numbers) -> _Tried:
        scores = look(numbers[rows], blocks)
        inside = scores.argmax(axis=1)
        (y, x), (row, column) = np.divmod(blocks, bounds.columns), np.divmod(inside, bounds.side)
        cells = np.stack([x * bounds.side + column, y * bounds.side + row], axis=-1)
        best = scores[np.arange(len(rows)), inside]
        best[np.isnan(best)] = -np.inf  # or no cell would be the best
        return _Tried(rows, cells, best)

    tried, rows = [], np.arange(len(numbers))
    for _ in range(min(_FIRST, limits.shape[1])):
        blocks = limits.argmax(axis=1)
        tried.append(look_into(rows, blocks))
        limits[rows, blocks] = -np.inf
    reached = reduce(np.maximum, (one.scores for one in tried))
    others, blocks = np.divmod(np.flatnonzero(limits >= reached[:, None]), limits.shape[1])
    for start in range(0, len(others), _PIECE):
        piece = slice(start, start + _PIECE)
        tried.append(look_into(others[piece], blocks[piece]))
    known = _joined(tried)
    return known.cells[known.winners()]
