"""Associative embedding: which peaks of all people's heatmaps belong to one person.

A bottom-up net gives a heatmap and a tag map per joint; joints of one person have tags close
together (Newell et al., NeurIPS 2017). This is the decoder of HigherHRNet and LitePose, its results
equal to theirs to the last bit of the order, without its slow parts:

- peaks are looked for where a block of cells has one above the threshold at all;
- a missing joint is looked for where its value can be highest: cells are bounded block by block.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgepose.pose.decode.blocks import (
    SIDE,
    first_cells,
    in_whole_blocks,
    over_blocks,
    steps_within,
)
from edgepose.pose.decode.matching import ORIGINAL, Peaks, best_of_each, match
from edgepose.pose.decode.missing_joints import Bounds, length, most_likely
from edgepose.pose.result import Floats
from edgepose.zoo import AssociativeDecoder

_REACH = 2  # cells to each side above which a peak must stand
_WINDOW = np.arange(-_REACH, _REACH + 1)[:, None]
_PIECE = 1024  # blocks in which peaks are looked for at a time


@dataclass(frozen=True, eq=False)
class People:
    """``points`` float32 [P, K, 2] in cells (x, y), ``values`` [P, K], ``scores`` [P].

    A joint's value is its heatmap's; 0 means that it was not found, and its point is (0, 0) then.
    A person's score is the mean of all K values before missing joints were looked for.
    """

    points: NDArray[np.float32]
    values: NDArray[np.float32]
    scores: NDArray[np.float32]


def group(
    heatmaps: Floats, tags: Floats, decoder: AssociativeDecoder = ORIGINAL, *, refine: bool = True
) -> People:
    """People in the maps of one image: ``heatmaps`` [K, H, W], ``tags`` [K, H, W, T].

    Positions have the quarter step towards the higher neighbour and the half cell to its centre.
    ``refine`` looks for the joints that grouping left out.
    """
    maps = np.ascontiguousarray(heatmaps, np.float32)
    tags = np.ascontiguousarray(tags, np.float32)
    whole = in_whole_blocks(maps)
    highest = np.concatenate([over_blocks(each[..., None], cv2.max) for each in whole])
    joints = match(find_peaks(whole, tags, highest, decoder), len(maps), decoder)
    points = np.zeros((*joints.shape[:2], 2), np.float32)
    values = joints[..., 2].astype(np.float32)
    persons, found = np.nonzero(values)
    cells = joints[persons, found, :2].astype(np.int64)
    points[persons, found] = _stepped(maps, found, cells)
    scores = values.mean(axis=1)
    if refine and not values.all():
        lacking, people = np.nonzero(values.T == 0)
        wanted = _mean_tags(joints)[people]
        cells = _most_likely(whole, tags, highest, lacking, wanted)
        here = maps[lacking, cells[:, 1], cells[:, 0]]
        real = here > 0
        points[people[real], lacking[real]] = _stepped(maps, lacking, cells)[real]
        values[people[real], lacking[real]] = here[real]
    return People(points, values, scores)


def find_peaks(
    maps: NDArray[np.float32],
    tags: NDArray[np.float32],
    highest: NDArray[np.float32],
    decoder: AssociativeDecoder = ORIGINAL,
) -> Peaks:
    """The best local maxima of each joint, none near another, with their tags [K, H, W, T].

    ``maps`` have whole blocks, of which ``highest`` [K, B] are the highest values.
    """
    above = np.flatnonzero(highest > decoder.detection_threshold)
    pieces = [
        _peaks_in(maps, piece, tags.shape[1:3], decoder.detection_threshold)
        for piece in np.split(above, range(_PIECE, len(above), _PIECE))
    ]
    numbers = np.sort(np.concatenate(pieces))  # in reading order
    values = maps.reshape(-1).take(numbers)
    best = best_of_each(numbers // maps[0].size, values, decoder.max_people)
    joints, cells = np.divmod(numbers[best], maps[0].size)
    y, x = np.divmod(cells, maps.shape[2])
    return Peaks(joints, np.stack([x, y], axis=-1), values[best], tags[joints, y, x])


def _peaks_in(
    maps: NDArray[np.float32], blocks: NDArray[np.int64], size: tuple[int, ...], least: float
) -> NDArray[np.int64]:
    """Numbers [N] of the peaks above ``least`` in ``blocks`` [M] of all maps [K, H, W].

    They are those of cells within ``size`` (height, width).
    """
    values, (_, rows, row) = maps.reshape(-1), maps.shape
    # A map under the other, they are one map of whole blocks.
    inside = steps_within(row)[..., None] + first_cells(blocks, row)
    cells = values.take(inside)
    # Who is not lower than those beside him in the block: few, of whom all is looked at.
    high = cells > least
    for here, before in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        high[here] &= cells[here] >= cells[before]
        high[before] &= cells[before] >= cells[here]
    numbers = inside[high]
    y, x = np.divmod(numbers % (rows * row), row)
    above, beside = (
        np.minimum(np.maximum(places + _WINDOW, 0), end - 1) - places
        for places, end in ((y, size[0]), (x, size[1]))
    )
    around = values.take((numbers + above * row)[:, None] + beside)
    is_peak = around[_REACH, _REACH] == around.max(axis=(0, 1))
    peaks: NDArray[np.int64] = numbers[is_peak & (y < size[0]) & (x < size[1])]
    return peaks


def _stepped(
    maps: NDArray[np.float32], joints: NDArray[np.int64], cells: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Cells [N, 2] of the maps ``joints`` [N], a quarter cell nearer to the higher neighbours."""
    (height, width), (x, y) = maps.shape[1:], cells.T
    right, left = (
        maps[joints, y, np.minimum(x + 1, width - 1)],
        maps[joints, y, np.maximum(x - 1, 0)],
    )
    below, above = (
        maps[joints, np.minimum(y + 1, height - 1), x],
        maps[joints, np.maximum(y - 1, 0), x],
    )
    steps = np.stack(
        [np.where(right > left, 0.25, -0.25), np.where(below > above, 0.25, -0.25)], -1
    )
    points: NDArray[np.float32] = (cells + steps + 0.5).astype(np.float32)
    return points


def _mean_tags(joints: NDArray[np.float64]) -> NDArray[np.float32]:
    """Of the joints that each of the persons [P, K, 3 + T] has: [P, T]."""
    had, tags = joints[..., 2] != 0, joints[..., 3:].astype(np.float32)
    # One by one: numpy sums of other shapes are rounded otherwise.
    sums = [np.add.reduce(each[his], axis=0) for each, his in zip(tags, had, strict=True)]
    means: NDArray[np.float32] = np.array(sums) / had.sum(axis=1, dtype=np.float32)[:, None]
    return means


def _most_likely(
    maps: NDArray[np.float32],
    tags: NDArray[np.float32],
    highest: NDArray[np.float32],
    joints: NDArray[np.int64],
    wanted: NDArray[np.float32],
) -> NDArray[np.int64]:
    """Cells [N, 2] (x, y) of the maps ``joints`` [N]: where heatmap − round(tag distance) is best.

    ``maps`` have whole blocks, of which ``highest`` [K, B] are the highest values; ``wanted`` are
    the persons' tags [N, T].
    """
    height, width = tags.shape[1:3]
    tags = in_whole_blocks(tags)
    _, rows, row, count = tags.shape
    lacking, their = np.unique(joints, return_inverse=True)
    # Both ends of a map's tags while it is in the CPU's cache: [K, 2, T, B].
    ends = np.array(
        [[over_blocks(tags[joint], fold) for fold in (cv2.min, cv2.max)] for joint in lacking]
    )
    low, high = ends.transpose(1, 2, 0, 3)
    bounds = Bounds(highest[lacking], low, high, row // SIDE, SIDE)
    within = steps_within(row).ravel()
    flat_maps, flat_tags = maps.reshape(-1), tags.reshape(-1)

    def look(which: NDArray[np.int64], blocks: NDArray[np.int64]) -> NDArray[np.float32]:
        begin = joints[which] * (rows * row) + first_cells(blocks, row)
        cells = begin[:, None] + within
        away = [
            flat_tags.take(cells * count + each) - wanted[which, each, None]
            for each in range(count)
        ]
        scores: NDArray[np.float32] = flat_maps.take(cells) - np.rint(length(away))
        return scores

    cells = most_likely(bounds, their, wanted, look)
    return np.minimum(cells, [width - 1, height - 1])
