"""Maps in square blocks of cells: what most of a map can be passed over by."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 8  # cells a side
Fold = Callable[..., cv2.typing.MatLike]  # cv2.max or cv2.min


def in_whole_blocks(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Maps [K, H, W, …] with whole blocks: one at the edge repeats its last cells."""
    rest = [(0, 0), *((0, -cells % SIDE) for cells in maps.shape[1:3])]
    if not np.any(rest):
        return maps
    return np.pad(maps, [*rest, *[(0, 0)] * (maps.ndim - 3)], "edge")


def over_blocks(cells: NDArray[np.float32], fold: Fold) -> NDArray[np.float32]:
    """``fold`` over the blocks of a map [H, W, T], in reading order: [T, B]."""
    height, _, count = cells.shape
    rows = _over_eighths(cells.reshape(height // SIDE, -1), fold)
    columns = cv2.transpose(rows.reshape(-1, SIDE * count))
    return _over_eighths(columns.reshape(1, -1), fold).reshape(count, -1)


def _over_eighths(rows: NDArray[np.float32], fold: Fold) -> NDArray[np.float32]:
    """``fold`` over the parts of each row that is cut in eight: [N, M] to [N, M / 8].

    Half on half, in long rows: numpy's reduction takes twice as long, waiting for the memory.
    """
    end = rows.shape[1] // SIDE
    while rows.shape[1] > end:
        half = rows.shape[1] // 2
        rows = np.asarray(fold(rows[:, :half], rows[:, half:]), np.float32)
    return rows


def first_cells(blocks: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Numbers [M] of the blocks' first cells in a map ``width`` wide, in reading order."""
    top, left = np.divmod(blocks, width // SIDE)
    cells: NDArray[np.int64] = (top * width + left) * SIDE
    return cells


def steps_within(width: int, side: int = SIDE) -> NDArray[np.int64]:
    """From a square's first cell to each of its cells in a map ``width`` wide: [side, side]."""
    steps: NDArray[np.int64] = np.arange(side)[:, None] * width + np.arange(side)
    return steps
