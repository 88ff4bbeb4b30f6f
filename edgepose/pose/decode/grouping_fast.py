"""Associative embedding at the net's own resolution: what `grouping` finds, much faster.

`grouping` enlarges all maps to the input's size before it looks at them. Here only the surroundings
of a peak are enlarged, by the same bilinear rule, so that its position and value come out the same.
A missing joint is looked for where a block of cells can hold it at all.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from edgepose.pose.decode.grouping import (
    LEAST_PEAK,
    PEAKS,
    Peaks,
    People,
    joint_order,
    match,
    over_blocks,
)
from edgepose.pose.result import Floats

_BLOCK = 4  # cells a side of the blocks in which missing joints are looked for
# How many blocks are looked into; the next number where those left out may hold more.
_STAGES = (4, 32, 256)


def _doubling(cells: int) -> NDArray[np.float32]:
    """Weights [2 (cells - 2) + 2, cells] of a row of cells in the row of a map twice as fine.

    From the second half of the first cell to the first half of the last one: the centres of the
    finer cells lie a quarter of a cell beside those of the coarse ones.
    """
    weights = np.zeros((2 * cells - 2, cells), np.float32)
    for left in range(cells - 1):
        weights[2 * left, left : left + 2] = 0.75, 0.25
        weights[2 * left + 1, left : left + 2] = 0.25, 0.75
    return weights


_PEAK = _doubling(5)[1:-1]  # cells c-2 .. c+2 to the finer ones 2c-2 .. 2c+3
_WHOLE = _doubling(_BLOCK + 2)[1:-1]  # a block with one cell around it to its finer cells


def group_fast(out0: Floats, out1: Floats, keypoints: int) -> People:
    """People of one image: ``out0`` [1, 2 K, h, w] heatmaps and tags, ``out1`` [1, K, 2 h, 2 w].

    Points are in cells of a map twice as large as ``out1``: for LitePose, HigherHRNet and
    EfficientHRNet, in pixels of the net's input.
    """
    height, width = out1.shape[2:]
    coarse = out0[0].astype(np.float32)
    large = np.stack([cv2.resize(each, (width, height)) for each in coarse])
    maps, tags = (large[:keypoints] + out1[0]) / 2, large[keypoints:]
    window = np.ones((3, 3), np.uint8)
    highest = np.stack([cv2.dilate(each, window) for each in maps])
    joints, y, x = np.nonzero((maps == highest) & (maps > LEAST_PEAK))
    placed, values, cells = _placed(maps, joints, y, x)
    found = _tags_at(tags, joints, cells)
    peaks = []
    for joint in range(keypoints):
        mine = np.flatnonzero((joints == joint) & (values > LEAST_PEAK))
        mine = mine[np.argsort(-values[mine], kind="stable")[:PEAKS]]
        # `match` hands on what it gets as a cell: the number of the point.
        peaks.append(Peaks(np.stack([mine, mine], axis=-1), values[mine], found[mine, None]))
    matched = match(peaks, joint_order(keypoints))
    values_of = matched[..., 2].astype(np.float32)
    points = np.zeros((*values_of.shape, 2), np.float32)
    had = values_of > 0
    points[had] = placed[matched[had][:, 0].astype(np.int64)]
    scores = values_of.mean(axis=1)
    if not had.all():
        net_tags = coarse[keypoints:]
        _fill(
            points,
            values_of,
            maps,
            tags,
            lambda joint, wanted: _bounds(highest[joint], net_tags[joint], wanted),
            _mean_tags(matched),
        )
    return People(points, values_of, scores)


def _around(
    maps: NDArray[np.float32],
    joints: NDArray[np.int64],
    top: NDArray[np.int64],
    left: NDArray[np.int64],
    weights: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Finer cells [N, n, n] of the squares of the maps ``joints`` [N] that begin at (top, left)."""
    side = np.arange(weights.shape[1])
    rows = np.clip(top[:, None] + side, 0, maps.shape[1] - 1)[:, :, None]
    columns = np.clip(left[:, None] + side, 0, maps.shape[2] - 1)[:, None, :]
    finer: NDArray[np.float32] = weights @ maps[joints[:, None, None], rows, columns] @ weights.T
    return finer


def _placed(
    maps: NDArray[np.float32], joints: NDArray[np.int64], y: NDArray[np.int64], x: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """The peaks near the cells [N] in the doubled maps: points [N, 2], values [N], cells [N, 2]."""
    doubled = _around(maps, joints, y - 2, x - 2, _PEAK)
    inner = doubled[:, 1:5, 1:5].reshape(-1, 16)
    best = inner.argmax(axis=1)
    row, column = best // 4 + 1, best % 4 + 1
    cells = np.stack([2 * x - 2 + column, 2 * y - 2 + row], axis=-1)
    return _stepped(doubled, row, column, cells), inner[np.arange(len(best)), best], cells


def _stepped(
    doubled: NDArray[np.float32],
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    cells: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Points [N, 2]: the centres of ``cells``, a quarter cell nearer to the higher neighbours."""
    number = np.arange(len(doubled))
    right, left = doubled[number, row, column + 1], doubled[number, row, column - 1]
    below, above = doubled[number, row + 1, column], doubled[number, row - 1, column]
    steps = np.stack([np.where(right > left, 0.75, 0.25), np.where(below > above, 0.75, 0.25)], -1)
    points: NDArray[np.float32] = (cells + steps).astype(np.float32)
    return points


def _tags_at(
    tags: NDArray[np.float32], joints: NDArray[np.int64], cells: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The tags [N] at cells [N, 2] (x, y) of the doubled tag maps [K, H, W]."""
    doubled = _around(tags, joints, cells[:, 1] // 2 - 2, cells[:, 0] // 2 - 2, _PEAK)
    found: NDArray[np.float32] = doubled[
        np.arange(len(cells)), cells[:, 1] % 2 + 2, cells[:, 0] % 2 + 2
    ]
    return found


def _mean_tags(matched: NDArray[np.float64]) -> NDArray[np.float32]:
    """The mean tag [P] of the joints that each person has."""
    had = matched[..., 2] > 0
    mean: NDArray[np.float32] = (matched[..., 3] * had).sum(axis=1) / had.sum(axis=1)
    return mean.astype(np.float32)


def _bounds(
    highest: NDArray[np.float32], tags: NDArray[np.float32], wanted: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What each block of one joint's map can reach for the tags ``wanted`` [P]: [P, blocks].

    ``highest`` [2 h, 2 w] has every cell's highest neighbour; ``tags`` [h, w] are the net's own.
    """
    window = np.ones((3, 3), np.uint8)
    low = over_blocks(cv2.erode(tags, window)[..., None], _BLOCK // 2, np.minimum).ravel()
    high = over_blocks(cv2.dilate(tags, window)[..., None], _BLOCK // 2, np.maximum).ravel()
    away = np.maximum(low - wanted[:, None], wanted[:, None] - high)
    height = over_blocks(highest[..., None], _BLOCK, np.maximum).ravel()
    reached: NDArray[np.float32] = height - np.rint(np.maximum(away, 0))
    return reached


def _fill(
    points: NDArray[np.float32],
    values: NDArray[np.float32],
    maps: NDArray[np.float32],
    tags: NDArray[np.float32],
    bounds_of: Callable[[int, NDArray[np.float32]], NDArray[np.float32]],
    wanted: NDArray[np.float32],
) -> None:
    """Give each person the joints that he lacks, where heatmap − round(tag distance) is highest."""
    joints, people = np.nonzero((values == 0).T)
    bounds = np.concatenate(
        [bounds_of(joint, wanted[people[joints == joint]]) for joint in np.unique(joints)]
    )
    cells = np.zeros((len(joints), 2), np.int64)
    open_ = np.arange(len(joints))
    for stage in _STAGES:
        tried = min(stage, bounds.shape[1])
        split = np.argpartition(-bounds[open_], tried - 1, axis=1)
        found, scores = _best_cells(
            maps, tags, joints[open_], wanted[people[open_]], split[:, :tried]
        )
        cells[open_] = found
        rest = np.take_along_axis(bounds[open_], split[:, tried:], axis=1)
        open_ = open_[rest.max(axis=1, initial=-np.inf) > scores]
        if not len(open_):
            break
    doubled = _around(maps, joints, cells[:, 1] // 2 - 2, cells[:, 0] // 2 - 2, _PEAK)
    row, column = cells[:, 1] % 2 + 2, cells[:, 0] % 2 + 2
    here = doubled[np.arange(len(joints)), row, column]
    is_real = here > 0
    points[people[is_real], joints[is_real]] = _stepped(doubled, row, column, cells)[is_real]
    values[people[is_real], joints[is_real]] = here[is_real]


def _best_cells(
    maps: NDArray[np.float32],
    tags: NDArray[np.float32],
    joints: NDArray[np.int64],
    wanted: NDArray[np.float32],
    blocks: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The best cells [N, 2] (x, y) of the doubled maps in ``blocks`` [N, tried]; their scores."""
    tried = blocks.shape[1]
    y, x = np.divmod(blocks, -(-maps.shape[2] // _BLOCK))
    top, left = y.ravel() * _BLOCK - 1, x.ravel() * _BLOCK - 1
    repeated = np.repeat(joints, tried)
    heights = _around(maps, repeated, top, left, _WHOLE)
    away = _around(tags, repeated, top, left, _WHOLE) - np.repeat(wanted, tried)[:, None, None]
    scores = (heights - np.rint(np.abs(away))).reshape(len(joints), -1)
    best = scores.argmax(axis=1)
    block, inside = np.divmod(best, heights[0].size)
    row, column = np.divmod(inside, heights.shape[2])
    number = np.arange(len(joints))
    cells = np.stack([x[number, block], y[number, block]], axis=-1) * (2 * _BLOCK)
    limit = np.array(maps.shape[:0:-1]) * 2 - 1
    cells = np.minimum(cells + np.stack([column, row], axis=-1), limit)
    return cells, scores[number, best]
