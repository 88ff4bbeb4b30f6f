"""RTMDet: per cell a class logit and the distances to the box's four sides."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from edgepose.pose.nms import nms_per_class
from edgepose.pose.result import Boxes, Floats
from edgepose.zoo import RTMDetDecoder

_BEST_PER_LEVEL = 1000  # mmdet's nms_pre
_MOST_BOXES = 100  # mmdet's max_per_img
_OUTWARDS = np.array([-1, -1, 1, 1], np.float32)
_SLACK = 1e-3  # of a logit, by which rounding may move a score over the threshold


def decode_rtmdet(
    outputs: Sequence[Floats],
    decoder: RTMDetDecoder,
    size: tuple[float, float],
    corner: tuple[float, float] = (0, 0),
    only: int | None = None,
) -> Boxes:
    """Level outputs to at most 100 boxes in input pixels, as mmdet does it.

    The part of the input that the image fills begins at ``corner`` (y, x) and has ``size`` (height,
    width): boxes are cut to it. ``only`` leaves all classes but one out before the best are taken.
    """
    cells = _cells(outputs, decoder)
    # Few cells hold anything: only theirs are worth an exponential.
    places, classes = (cells.logits > _logit(decoder.score_threshold) - _SLACK).nonzero()
    if len(places) > _BEST_PER_LEVEL:
        best = _best_of_levels(places, cells.logits[places, classes], cells.ends)
        places, classes = places[best], classes[best]
    if only is not None and cells.logits.shape[1] > 1:
        wanted = classes == only
        places, classes = places[wanted], classes[wanted]
    scores = _sigmoid(cells.logits[places, classes])
    boxes = cells.boxes(places, _limits(size, corner))
    real = scores > decoder.score_threshold
    real &= (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    if not real.all():
        boxes, scores, classes = boxes[real], scores[real], classes[real]
    kept = nms_per_class(boxes, scores, classes, decoder.nms_iou, _MOST_BOXES)
    return Boxes(boxes[kept], scores[kept], classes[kept])


def candidates(
    outputs: Sequence[Floats], decoder: RTMDetDecoder, size: tuple[int, int]
) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Per level the boxes [h·w, 4] xyxy in input pixels and the scores [h·w, C] of all cells.

    Cell (row, column) stands at pixel (column·stride, row·stride), without a half-cell offset.
    """
    cells = _cells(outputs, decoder)
    boxes = cells.boxes(np.arange(cells.ends[-1]), _limits(size))
    splits = cells.ends[:-1]
    return np.split(boxes, splits), np.split(_sigmoid(cells.logits), splits)


@dataclass(frozen=True, eq=False)
class _Cells:
    """All cells, level by level: logits [M, C], distances [M, 4], where they stand [M, 4].

    A place is x, y, x, y in input pixels; ``ends`` are the levels' in M.
    """

    logits: NDArray[np.float32]
    distances: NDArray[np.float32]
    places: NDArray[np.float32]
    ends: tuple[int, ...]

    def boxes(
        self, cells: NDArray[np.int64], limits: tuple[NDArray[np.float32], NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        boxes: NDArray[np.float32] = self.places[cells] + self.distances[cells] * _OUTWARDS
        np.maximum(boxes, limits[0], out=boxes)
        return np.minimum(boxes, limits[1], out=boxes)


def _cells(outputs: Sequence[Floats], decoder: RTMDetDecoder) -> _Cells:
    """Whatever the layout."""
    arrays = [output[0].astype(np.float32, copy=False) for output in outputs]
    if decoder.layout == "fused":
        shapes = [level.shape[:2] for level in arrays]
        flat = np.concatenate([level.reshape(-1, level.shape[-1]) for level in arrays])
        logits, distances = flat[:, :-4], flat[:, -4:]
    else:
        half = len(decoder.strides)
        shapes = [level.shape[1:] for level in arrays[:half]]
        logits, distances = (
            np.concatenate([level.reshape(len(level), -1) for level in part], axis=1).T
            for part in (arrays[:half], arrays[half:])
        )
    places, ends = _grid(tuple(shapes), decoder.strides)
    return _Cells(logits, distances, places, ends)


@cache
def _grid(
    shapes: tuple[tuple[int, ...], ...], strides: tuple[int, ...]
) -> tuple[NDArray[np.float32], tuple[int, ...]]:
    """Places [M, 4] of the cells of levels of ``shapes`` (h, w), and where each level ends."""
    levels = []
    for (height, width), stride in zip(shapes, strides, strict=True):
        rows, columns = np.indices((height, width), np.float32) * stride
        levels.append(np.stack([columns, rows, columns, rows], axis=-1).reshape(-1, 4))
    return np.concatenate(levels), tuple(accumulate(len(level) for level in levels))


@lru_cache  # of one film all pictures have the same
def _limits(
    size: tuple[float, float], corner: tuple[float, float] = (0, 0)
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lowest and highest value of each coordinate of a box [4]."""
    (top, left), (bottom, right) = corner, (corner[0] + size[0], corner[1] + size[1])
    low, high = (left, top, left, top), (right, bottom, right, bottom)
    return np.array(low, np.float32), np.array(high, np.float32)


def _best_of_levels(
    cells: NDArray[np.int64], logits: NDArray[np.float32], ends: tuple[int, ...]
) -> NDArray[np.int64]:
    """Which of ``cells`` [N] are among the best of their level."""
    parts = np.split(np.arange(len(cells)), np.searchsorted(cells, ends[:-1]))
    return np.concatenate(
        [part[np.argsort(-logits[part], kind="stable")[:_BEST_PER_LEVEL]] for part in parts]
    )


def _logit(score: float) -> float:
    return math.log(score / (1 - score)) if 0 < score < 1 else math.copysign(math.inf, score - 0.5)


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    scores: NDArray[np.float32] = 0.5 * (1 + np.tanh(0.5 * logits))
    return scores
