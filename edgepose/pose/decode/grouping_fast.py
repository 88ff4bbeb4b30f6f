"""Associative embedding at the net's own resolution: what `grouping` finds, faster.

`grouping` enlarges all maps to the input's size before it looks at them. Here only the surroundings
of a peak are enlarged, by the same bilinear rule, so that its position and value come out the same.
A missing joint is looked for where a block of cells can hold it at all.

Two things differ. Of two equal cells side by side, which `grouping` takes for two peaks as the
original does, one counts here; there the other one becomes a person of a single joint. And a peak
that shows in the enlarged map only, diagonally beside a higher one, may be missed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edgepose.errors import UsageError
from edgepose.pose.decode.flip import unflipped
from edgepose.pose.decode.grouping import People
from edgepose.pose.decode.matching import ORIGINAL, Peaks, best_of_each, match
from edgepose.pose.decode.missing_joints import Bounds, length, most_likely
from edgepose.pose.decode.squares import Squares, both_ways, doubling
from edgepose.pose.result import Floats
from edgepose.zoo import AssociativeDecoder

_NEAR = np.ones((3, 3), np.uint8)
_BLOCK = 4  # cells a side of the blocks in which missing joints are looked for
_REACH = 2  # cells around a cell that its surroundings are enlarged from
# The surroundings of cell c, c-2 .. c+2, to the finer cells 2c-3 .. 2c+4.
_AROUND = both_ways(doubling(2 * _REACH + 1))
# A block with one cell around it to its own finer cells.
_WHOLE = both_ways(doubling(_BLOCK + 2)[1:-1])
# The same block in a map half as fine, again with one cell around it.
_HALF = _BLOCK // 2
_WHOLE_TAGS = both_ways(doubling(_BLOCK + 2)[1:-1] @ doubling(_HALF + 2))
_FINE = 2 * _BLOCK  # finer cells a side, of all three
# Of the surroundings: the four by four in the middle; the original's window of five by five cells.
_MIDDLE = (_FINE * np.arange(2, 6)[:, None] + np.arange(2, 6)).ravel()
_WINDOW = (_FINE * np.arange(-2, 3)[:, None] + np.arange(-2, 3)).ravel()


def group_fast(
    out0: Floats, out1: Floats, keypoints: int, decoder: AssociativeDecoder = ORIGINAL
) -> People:
    """People of one image: ``out0`` [1, 2 K, h, w] heatmaps and tags, ``out1`` [1, K, 2 h, 2 w].

    Points are in cells of a map twice as large as ``out1``: for LitePose, HigherHRNet and
    EfficientHRNet, in pixels of the net's input. Raises UsageError where the sizes are not these.
    """
    _require_doubled(out0, out1)
    tags = out0[:, keypoints:].astype(np.float32, copy=False)
    return group_maps(_mean_maps(out0[0, :keypoints], out1[0]), tags, decoder)


def group_fast_both(
    outputs: Sequence[Floats],
    flipped: Sequence[Floats],
    mirrored: Sequence[int],
    decoder: AssociativeDecoder = ORIGINAL,
) -> People:
    """As ``group_fast``, with a flip test: ``flipped`` are the outputs for the mirrored image.

    ``mirrored`` [K] tells in whose place each key point is in a mirrored picture.
    """
    (out0, out1), (other0, other1) = outputs, flipped
    _require_doubled(out0, out1)
    count = len(mirrored)
    looks = (
        _mean_maps(out0[0, :count], out1[0]),
        _mean_maps(*([each[0, index] for index in mirrored] for each in (other0, other1))),
    )
    maps = (
        cv2.addWeighted(one, 0.5, cv2.flip(two, 1), 0.5, 0, dst=one)
        for one, two in zip(*looks, strict=True)
    )
    back = unflipped(other0, [count + index for index in mirrored])
    tags = np.concatenate([out0[:, count:], back]).astype(np.float32, copy=False)
    return group_maps(maps, tags, decoder)


def _require_doubled(out0: Floats, out1: Floats) -> None:
    if out1.shape[2:] != (2 * out0.shape[2], 2 * out0.shape[3]):
        raise UsageError(
            f"outputs of {list(out0.shape)} and {list(out1.shape)} cannot be grouped",
            hint="The second output must be twice as high and wide as the first one.",
        )


def _mean_maps(coarse: Iterable[Floats], fine: Iterable[Floats]) -> Iterator[NDArray[np.float32]]:
    """Mean of ``fine`` and the enlarged ``coarse``: one map after the other, at the same place."""
    mean: NDArray[np.float32] | None = None
    for small, large in zip(coarse, fine, strict=True):
        if mean is None:
            mean = np.empty(large.shape, np.float32)
        cv2.resize(np.asarray(small, np.float32), mean.shape[::-1], dst=mean)
        cv2.addWeighted(mean, 0.5, np.asarray(large, np.float32), 0.5, 0, dst=mean)
        yield mean


def group_maps(
    maps: Iterable[NDArray[np.float32]],
    tags: NDArray[np.float32],
    decoder: AssociativeDecoder = ORIGINAL,
) -> People:
    """People in K ``maps`` [2 h, 2 w] with ``tags`` [T, K, h, w], of T passes of the net.

    Points are in cells of maps twice as large: the same as of `grouping.group` on those.
    """
    heats = Squares(maps, tags.shape[1], (2 * tags.shape[2], 2 * tags.shape[3]), _BLOCK, _REACH)
    tag_squares = [Squares(each, len(each), each.shape[1:], _HALF, 1) for each in tags]
    found, places = _peaks(heats, tag_squares, decoder)
    matched = match(found, tags.shape[1], decoder)
    values = matched[..., 2].astype(np.float32)
    points = np.zeros((*values.shape, 2), np.float32)
    had = values > 0
    points[had] = places[matched[had][:, 0].astype(np.int64)]
    scores = values.mean(axis=1)
    if not had.all():
        means = (matched[..., 3:] * had[..., None]).sum(axis=1) / had.sum(axis=1)[:, None]
        _fill(points, values, heats, tag_squares, means.astype(np.float32))
    return People(points, values, scores)


def _around(
    heats: Squares, joints: NDArray[np.int64], x: NDArray[np.int64], y: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Finer cells [N, 64] around the cells (x, y) [N]: eight rows of eight from 2c-3 on."""
    finer: NDArray[np.float32] = heats(joints, x - _REACH, y - _REACH, 2 * _REACH + 1) @ _AROUND
    return finer


def _tags_of_block(
    tags: Squares, joints: NDArray[np.int64], x: NDArray[np.int64], y: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The net's own tags [N, 16] in the blocks (x, y) [N] and around them."""
    return tags(joints, x * _HALF - 1, y * _HALF - 1, _HALF + 2)


def _peaks(
    heats: Squares, tags: list[Squares], decoder: AssociativeDecoder
) -> tuple[Peaks, NDArray[np.float32]]:
    """The peaks of the doubled maps, which lie next to those of the maps, and points [N, 2].

    A peak's cell is but the number of its point: `match` hands on what it gets.
    """
    near = np.empty_like(heats.padded[0])
    tops = []
    for each in heats.padded:
        above = np.flatnonzero(each > decoder.detection_threshold)
        if len(above):
            cv2.dilate(each, _NEAR, dst=near)
        tops.append(above[each.take(above) == near.take(above)])
    joints = np.repeat(np.arange(len(tops)), [len(each) for each in tops])
    y, x = np.array(np.divmod(np.concatenate(tops), near.shape[1])) - heats.margin
    real = (x >= 0) & (y >= 0) & (x < heats.size[1]) & (y < heats.size[0])
    joints, x, y = joints[real], x[real], y[real]
    doubled = _around(heats, joints, x, y)
    real_cells = _without_outside(doubled, x, y, heats.size)
    inside = _MIDDLE[real_cells[:, _MIDDLE].argmax(axis=1)]
    values = doubled[np.arange(len(joints)), inside]
    highest = np.take_along_axis(real_cells, inside[:, None] + _WINDOW, axis=1).max(axis=1)
    places = np.stack([2 * x - 3 + inside % _FINE, 2 * y - 3 + inside // _FINE], axis=-1)
    # Two cells may lead to the same peak.
    height, width = (2 * cells for cells in heats.size)
    keys = (joints * width + places[:, 0]) * height + places[:, 1]
    once = np.unique(keys, return_index=True)[1]
    once = once[(values[once] == highest[once]) & (values[once] > decoder.detection_threshold)]
    once = once[best_of_each(joints[once], values[once], decoder.max_people)]
    points = _stepped(doubled[once], inside[once], places[once])
    found = _tags_at(tags, joints[once], places[once])
    numbers = np.arange(len(once))
    cells = np.stack([numbers, numbers], axis=-1)
    return Peaks(joints[once], cells, values[once], found), points


def _without_outside(
    doubled: NDArray[np.float32], x: NDArray[np.int64], y: NDArray[np.int64], size: tuple[int, ...]
) -> NDArray[np.float32]:
    """``doubled`` [N, 64] without what lies beyond the edges: a copy that may be rounded higher."""
    (edge,) = np.nonzero((x == 0) | (y == 0) | (x == size[1] - 1) | (y == size[0] - 1))
    if not len(edge):
        return doubled
    steps = np.arange(_FINE) - 3
    columns, rows = 2 * x[edge, None] + steps, 2 * y[edge, None] + steps
    beyond = ((columns < 0) | (columns >= 2 * size[1]))[:, None, :] | (
        (rows < 0) | (rows >= 2 * size[0])
    )[:, :, None]
    cells = doubled.copy()
    cells[edge] = np.where(beyond.reshape(len(edge), -1), -np.inf, cells[edge])
    return cells


def _tags_at(
    tags: list[Squares], joints: NDArray[np.int64], places: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The tags [N, T] at cells ``places`` [N, 2] (x, y) of the doubled maps."""
    (x, y), (column, row) = (places // _FINE).T, (places % _FINE).T
    weights = _WHOLE_TAGS.T[row * _FINE + column]
    found = [(_tags_of_block(each, joints, x, y) * weights).sum(axis=1) for each in tags]
    return np.stack(found, axis=-1)


def _stepped(
    doubled: NDArray[np.float32], inside: NDArray[np.int64], places: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Points [N, 2]: the centres of ``places``, a quarter cell nearer to the higher neighbours."""
    numbers = np.arange(len(doubled))
    beside, below = (
        doubled[numbers, inside + step] > doubled[numbers, inside - step] for step in (1, _FINE)
    )
    steps = np.where(np.stack([beside, below], axis=-1), 0.75, 0.25)
    points: NDArray[np.float32] = (places + steps).astype(np.float32)
    return points


def _fill(
    points: NDArray[np.float32],
    values: NDArray[np.float32],
    heats: Squares,
    tags: list[Squares],
    means: NDArray[np.float32],
) -> None:
    """Give each person the joints that he lacks, where heatmap − round(tag distance) is highest."""
    joints, people = np.nonzero((values == 0).T)
    wanted = means[people]
    lacking, their = np.unique(joints, return_inverse=True)
    bounds = _bounds(heats, tags, lacking)

    def look(which: NDArray[np.int64], blocks: NDArray[np.int64]) -> NDArray[np.float32]:
        mine, (y, x) = joints[which], np.divmod(blocks, bounds.columns)
        away = [
            _tags_of_block(each, mine, x, y) @ _WHOLE_TAGS - tag
            for each, tag in zip(tags, wanted[which].T[:, :, None], strict=True)
        ]
        near = heats(mine, x * _BLOCK - 1, y * _BLOCK - 1, _BLOCK + 2)
        scores: NDArray[np.float32] = near @ _WHOLE - np.rint(length(away))
        return scores

    limits = 2 * np.array(heats.size[::-1]) - 1
    cells = np.minimum(most_likely(bounds, their, wanted, look), limits)
    doubled = _around(heats, joints, *(cells.T // 2))
    inside = (cells[:, 1] % 2 + 3) * _FINE + cells[:, 0] % 2 + 3
    here = doubled[np.arange(len(joints)), inside]
    placed = _stepped(doubled, inside, cells)
    real = here > 0
    points[people[real], joints[real]] = placed[real]
    values[people[real], joints[real]] = here[real]


def _bounds(heats: Squares, tags: list[Squares], joints: NDArray[np.int64]) -> Bounds:
    """Of the finer cells in each block, which come from its own cells and one around it."""
    size = heats.size[::-1]
    highest = [_of_blocks(cv2.dilate, heats.map(joint)) for joint in joints]
    low, high = (
        [[_of_blocks(fold, cv2.resize(each.map(joint), size)) for joint in joints] for each in tags]
        for fold in (cv2.erode, cv2.dilate)
    )
    columns = -(-heats.size[1] // _BLOCK)
    return Bounds(np.array(highest), np.array(low), np.array(high), columns, _FINE)


def _of_blocks(
    fold: Callable[..., cv2.typing.MatLike], cells: NDArray[np.float32]
) -> NDArray[np.float32]:
    """``fold`` over each block of a map and one cell around it: [B]."""
    window = np.ones((_BLOCK + 2, _BLOCK + 2), np.uint8)
    folded: NDArray[np.float32] = np.asarray(fold(cells, window, anchor=(1, 1)), np.float32)
    return folded[::_BLOCK, ::_BLOCK].reshape(-1)
