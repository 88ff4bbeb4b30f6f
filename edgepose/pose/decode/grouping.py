"""Associative embedding: which peaks of all people's heatmaps belong to one person.

A bottom-up net gives a heatmap and a tag map per joint; joints of one person have tags close
together (Newell et al., NeurIPS 2017). This is the decoder of HigherHRNet and LitePose, its results
equal to theirs to the last bit of the order, without its slow parts:

- peaks are looked for above the threshold only, one map at a time, while it is in the CPU's cache;
- a missing joint is looked for where its value can be highest: cells are bounded block by block.
"""

from dataclasses import dataclass
from functools import reduce

import cv2
import numpy as np
from numpy.typing import NDArray

from edgepose.pose.decode.missing_joints import Bounds, most_likely
from edgepose.pose.result import Floats

# The original configuration: NMS window in cells, peaks per joint, their least value, the largest
# distance of a person's tags.
WINDOW, PEAKS, LEAST_PEAK, TAG_REACH = 5, 30, 0.1, 1.0
_PAD_COST = 1e10
_BLOCK = 8  # cells a side

# Trunk and legs before elbows and wrists: head first, as the original code has them.
COCO_ORDER = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)
# The first 14 of COCO's order, whatever these joints are: the original code's.
CROWDPOSE_ORDER = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13)


@dataclass(frozen=True, eq=False)
class People:
    """``points`` float32 [P, K, 2] in cells (x, y), ``values`` [P, K], ``scores`` [P].

    A joint's value is its heatmap's; 0 means that it was not found, and its point is (0, 0) then.
    A person's score is the mean of all K values before missing joints were looked for.
    """

    points: NDArray[np.float32]
    values: NDArray[np.float32]
    scores: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Peaks:
    """Of one joint, best first: ``cells`` [N, 2] (x, y), ``values`` [N], ``tags`` [N, T]."""

    cells: NDArray[np.int64]
    values: NDArray[np.float32]
    tags: NDArray[np.float32]


def group(heatmaps: Floats, tags: Floats, *, refine: bool = True) -> People:
    """People in the maps of one image: ``heatmaps`` [K, H, W], ``tags`` [K, H, W, T].

    Positions have the quarter step towards the higher neighbour and the half cell to its centre.
    ``refine`` looks for the joints that grouping left out.
    """
    maps = np.ascontiguousarray(heatmaps, np.float32)
    tags = np.ascontiguousarray(tags, np.float32)
    peaks = [find_peaks(values, tag) for values, tag in zip(maps, tags, strict=True)]
    joints = match(peaks, joint_order(len(maps)))
    points = np.zeros((*joints.shape[:2], 2), np.float32)
    values = joints[..., 2].astype(np.float32)
    persons, found = np.nonzero(values)
    cells = joints[persons, found, :2].astype(np.int64)
    points[persons, found] = _stepped(maps, found, cells)
    scores = values.mean(axis=1)
    if refine and not values.all():
        fill_missing(points, values, maps, tags)
    return People(points, values, scores)


def joint_order(count: int) -> tuple[int, ...]:
    """The order in which ``count`` joints are grouped."""
    known = {len(COCO_ORDER): COCO_ORDER, len(CROWDPOSE_ORDER): CROWDPOSE_ORDER}
    return known.get(count, tuple(range(count)))


def find_peaks(values: NDArray[np.float32], tags: NDArray[np.float32]) -> Peaks:
    """The best local maxima of one map [H, W] with the tags [T] there; none is near another."""
    # Numpy finds what is not zero in one axis ten times faster than in two.
    rows, columns = np.divmod(np.flatnonzero(values > LEAST_PEAK), values.shape[1])
    if not len(rows):
        return Peaks(np.zeros((0, 2), np.int64), values[:0, 0], tags[:0, 0])
    # The window reaches out of the part that matters into what is lower.
    reach = WINDOW // 2
    top, left = max(rows[0] - reach, 0), max(columns.min() - reach, 0)
    part = values[top : rows[-1] + reach + 1, left : columns.max() + reach + 1]
    highest = cv2.dilate(part, np.ones((WINDOW, WINDOW), np.uint8))
    here = values[rows, columns]
    is_peak = here == highest[rows - top, columns - left]
    rows, columns, here = rows[is_peak], columns[is_peak], here[is_peak]
    best = np.argsort(-here, kind="stable")[:PEAKS]
    rows, columns = rows[best], columns[best]
    return Peaks(np.stack([columns, rows], axis=-1), here[best], tags[rows, columns])


def match(peaks: list[Peaks], order: tuple[int, ...]) -> NDArray[np.float64]:
    """Peaks of all joints to persons [P, K, 3 + T]: x, y, value, tag; zeros where none is his.

    Each joint's peaks go to the persons begun by the joints before, nearest mean tag first, equal
    distances (rounded to whole numbers) to the better peak; who is too far away is a new person.
    """
    width = 3 + peaks[0].tags.shape[1]
    # By the first number of the first tag: who has the very same one replaces the other.
    joints: dict[float, NDArray[np.float64]] = {}
    seen: dict[float, tuple[NDArray[np.float32], int]] = {}  # the tags' sum and number
    for index in order:
        found = _sound(peaks[index])
        if not len(found.values):
            continue
        rows = np.concatenate([found.cells, found.values[:, None], found.tags], axis=1)
        keys = list(joints)[:PEAKS]  # whom a joint may be given to
        owner = (
            _owners(rows, [seen[key][0] / np.float32(seen[key][1]) for key in keys])
            if keys
            else None
        )
        for number, (row, tag) in enumerate(zip(rows, found.tags, strict=True)):
            if owner is not None and owner[number] >= 0:
                key = keys[owner[number]]
                joints[key][index] = row
                seen[key] = (seen[key][0] + tag, seen[key][1] + 1)
            else:
                key = float(tag[0])
                joints.setdefault(key, np.zeros((len(peaks), width)))[index] = row
                seen[key] = (tag, 1)
    return np.array(list(joints.values())) if joints else np.zeros((0, len(peaks), width))


def _sound(peaks: Peaks) -> Peaks:
    """Without those that belong to nobody, because value or tag is not a finite number."""
    finite = np.isfinite(peaks.values) & np.isfinite(peaks.tags).all(axis=1)
    if finite.all():
        return peaks
    return Peaks(peaks.cells[finite], peaks.values[finite], peaks.tags[finite])


def _owners(rows: NDArray[np.float64], means: list[NDArray[np.float32]]) -> NDArray[np.int64]:
    """Which person, by mean tag, each peak [N, 3 + T] goes to; -1 for a new one."""
    # Here, so that boards without it, for it is compiled code, have the other decoders.
    from munkres import linear_sum_assignment

    distances = np.linalg.norm(rows[:, None, 3:] - np.array(means)[None], ord=2, axis=2)
    costs = np.round(distances) * 100 - rows[:, 2:3]
    short = len(rows) - len(means)
    if short > 0:
        costs = np.concatenate([costs, np.full((len(rows), short), _PAD_COST)], axis=1)
    # It takes the array as it is, unlike `Munkres.compute`, which finds the same.
    _, chosen = linear_sum_assignment(costs)
    real = chosen < len(means)
    near = distances[np.arange(len(rows)), np.where(real, chosen, 0)] < TAG_REACH
    return np.where(real & near, chosen, -1)


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


def fill_missing(
    points: NDArray[np.float32],
    values: NDArray[np.float32],
    maps: NDArray[np.float32],
    tags: NDArray[np.float32],
) -> None:
    """Give each person the joints that he lacks: where heatmap − round(tag distance) is highest.

    The distance is to the mean tag of the joints that he has. ``points`` [P, K, 2] and ``values``
    [P, K] are filled in; a joint whose heatmap is not above 0 there stays missing.
    """
    lacking = values == 0
    means = np.array(
        [
            np.mean([tags[joint, y, x] for joint, (x, y) in _cells_of(points[person], had)], axis=0)
            for person, had in enumerate(~lacking)
        ]
    )
    joints, people = np.nonzero(lacking.T)
    cells = _most_likely(maps, tags, joints, means[people])
    here = maps[joints, cells[:, 1], cells[:, 0]]
    is_real = here > 0
    points[people[is_real], joints[is_real]] = _stepped(maps, joints, cells)[is_real]
    values[people[is_real], joints[is_real]] = here[is_real]


def _cells_of(
    points: NDArray[np.float32], had: NDArray[np.bool_]
) -> list[tuple[int, NDArray[np.int32]]]:
    return [(int(joint), points[joint].astype(np.int32)) for joint in np.flatnonzero(had)]


def _most_likely(
    maps: NDArray[np.float32],
    tags: NDArray[np.float32],
    joints: NDArray[np.int64],
    wanted: NDArray[np.float32],
) -> NDArray[np.int64]:
    """Cells [N, 2] (x, y) of the maps ``joints`` [N]; ``wanted`` are the persons' tags [N, T]."""
    height, width = maps.shape[1:]
    rest = ((0, 0), (0, -height % _BLOCK), (0, -width % _BLOCK))
    if np.any(rest):  # a block at the edge repeats its last cells
        maps, tags = np.pad(maps, rest, "edge"), np.pad(tags, (*rest, (0, 0)), "edge")
    row = maps.shape[2]
    lacking, their = np.unique(joints, return_inverse=True)
    highest = np.stack([_over_blocks(maps[joint], np.maximum) for joint in lacking])
    # Both ends of a map's tags while it is in the CPU's cache: [2, T, K, B].
    ends = np.stack(
        [
            [_over_blocks(tags[joint, ..., each], fold) for fold in (np.minimum, np.maximum)]
            for each in range(tags.shape[-1])
            for joint in lacking
        ],
        axis=1,
    ).reshape(2, tags.shape[-1], len(lacking), -1)
    bounds = Bounds(highest, ends[0], ends[1], row // _BLOCK, _BLOCK)
    within = (np.arange(_BLOCK)[:, None] * row + np.arange(_BLOCK)).ravel()
    values, values_tags = maps.reshape(-1), tags.reshape(-1, tags.shape[-1])

    def look(which: NDArray[np.int64], blocks: NDArray[np.int64]) -> NDArray[np.float32]:
        top, left = np.divmod(blocks, bounds.columns)
        begin = (joints[which] * maps.shape[1] + top * _BLOCK) * row + left * _BLOCK
        cells = begin[:, None] + within
        if tags.shape[-1] == 1:  # numpy is slow along an axis of one
            away = np.abs(values_tags[:, 0].take(cells) - wanted[which])
        else:
            away = np.sqrt(((values_tags[cells] - wanted[which, None]) ** 2).sum(axis=-1))
        scores: NDArray[np.float32] = values.take(cells) - np.rint(away)
        return scores

    cells = most_likely(bounds, their, wanted, look)
    return np.minimum(cells, [width - 1, height - 1])


def _over_blocks(cells: NDArray[np.float32], fold: np.ufunc) -> NDArray[np.float32]:
    """``fold`` over each block of a map [H, W]: [B]."""
    rows = fold.reduce(cells.reshape(-1, _BLOCK, cells.shape[1]), axis=1)
    # Slices a block apart: numpy reduces ten times slower along an axis of eight.
    blocks: NDArray[np.float32] = reduce(fold, (rows[:, each::_BLOCK] for each in range(_BLOCK)))
    return blocks.reshape(-1)
