"""Squares of cells out of maps, and the same squares twice as fine."""

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from edgepose.pose.decode.blocks import steps_within


def doubling(cells: int) -> NDArray[np.float32]:
    """Weights [2 (cells - 2) + 2, cells] of a row of cells in the row of a map twice as fine.

    From the second half of the first cell to the first half of the last one: the centres of the
    finer cells lie a quarter of a cell beside those of the coarse ones.
    """
    weights = np.zeros((2 * cells - 2, cells), np.float32)
    for left in range(cells - 1):
        weights[2 * left, left : left + 2] = 0.75, 0.25
        weights[2 * left + 1, left : left + 2] = 0.25, 0.75
    return weights


def both_ways(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same for squares that are read row by row: [cells², finer cells²], for ``flat @ it``."""
    return np.ascontiguousarray(np.kron(weights, weights).T)


class Squares:
    """Squares of K maps of one size (height, width); beyond their edges the last cells go on."""

    def __init__(
        self,
        maps: Iterable[NDArray[np.float32]],
        count: int,
        size: tuple[int, ...],
        side: int,
        margin: int,
    ) -> None:
        """Whole blocks of ``side`` cells can be read, and ``margin`` cells around each."""
        self.size, self.margin = size, margin
        below, right = (margin + -cells % side for cells in size)
        self.padded = np.empty(
            (count, size[0] + margin + below, size[1] + margin + right), np.float32
        )
        kind = cv2.BORDER_REPLICATE
        for each, into in zip(maps, self.padded, strict=True):
            cv2.copyMakeBorder(each, margin, below, margin, right, kind, dst=into)

    def __call__(
        self,
        joints: NDArray[np.int64],
        left: NDArray[np.int64],
        top: NDArray[np.int64],
        side: int,
    ) -> NDArray[np.float32]:
        """Cells [N, side²], row by row, of the maps ``joints`` [N] from (left, top) on."""
        _, height, width = self.padded.shape
        begin = (joints * height + top + self.margin) * width + left + self.margin
        return self.padded.reshape(-1).take(begin[:, None] + steps_within(width, side).ravel())

    def map(self, joint: int) -> NDArray[np.float32]:
        """A map as it was given."""
        rows, columns = (slice(self.margin, self.margin + cells) for cells in self.size)
        return self.padded[joint, rows, columns]
