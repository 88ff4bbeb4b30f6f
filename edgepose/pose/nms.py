"""Greedy non-maximum suppression of boxes."""

import numpy as np
from numpy.typing import NDArray

from edgepose.pose.result import Floats

_FEW = 64  # boxes up to which plain numbers are faster than arrays
_AT_ONCE = 256  # boxes up to which all pairs are compared in one go


def box_iou(boxes: Floats, others: Floats) -> NDArray[np.float64]:
    """Intersection over union, [N, M] for xyxy boxes [N, 4] and [M, 4]; 0 for empty boxes."""
    a, b = boxes.T.astype(np.float64)[:, :, None], others.T.astype(np.float64)[:, None]
    width = np.minimum(a[2], b[2]) - np.maximum(a[0], b[0])
    height = np.minimum(a[3], b[3]) - np.maximum(a[1], b[1])
    inter = np.maximum(width, 0) * np.maximum(height, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    iou: NDArray[np.float64] = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
    return iou


def box_areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of xyxy boxes [N, 4]."""
    areas: NDArray[np.float64] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas


def nms(boxes: Floats, scores: Floats, iou: float, most: int | None = None) -> NDArray[np.int64]:
    """Indices of the boxes [N, 4] that stay, best score first, no more than ``most``.

    A box falls where its IoU with a better one that stays is greater than ``iou`` (equal stays).
    """
    if len(scores) <= _FEW:
        return np.array(_of_few(boxes.tolist(), scores.tolist(), iou)[:most], np.int64)
    order = np.argsort(-scores, kind="stable")
    ordered = boxes[order]
    if len(order) > _AT_ONCE:  # many overlap the first ones: what is left is looked at again
        return order[_one_by_one(ordered, iou, len(order) if most is None else most)]
    return order[greedy(box_iou(ordered, ordered) > iou)[:most]]


def _of_few(boxes: list[list[float]], scores: list[float], iou: float) -> list[int]:
    """As ``nms``, with what ``box_iou`` computes."""
    kept: dict[int, tuple[float, ...]] = {}
    for index in sorted(range(len(boxes)), key=scores.__getitem__, reverse=True):
        x1, y1, x2, y2 = boxes[index]
        area = (x2 - x1) * (y2 - y1)
        for left, top, right, bottom, other in kept.values():
            # Without min and max, which take longer than all the rest.
            width = (x2 if x2 < right else right) - (x1 if x1 > left else left)
            height = (y2 if y2 < bottom else bottom) - (y1 if y1 > top else top)
            if width > 0 and height > 0:
                inter = width * height
                if inter / (area + other - inter) > iou:
                    break
        else:
            kept[index] = (x1, y1, x2, y2, area)
    return list(kept)


def _one_by_one(boxes: Floats, iou: float, most: int) -> list[int]:
    """As ``nms`` for ordered boxes [N, 4], with what ``box_iou`` computes for each that stays."""
    x1, y1, x2, y2 = np.ascontiguousarray(boxes.T, np.float64)
    areas = (x2 - x1) * (y2 - y1)
    left = np.ones(len(boxes), bool)
    kept: list[int] = []
    for best in range(len(boxes)):
        if not left[best]:
            continue
        kept.append(best)
        if len(kept) == most:
            break
        rest = slice(best + 1, None)  # a view: to pick who is left costs more than it saves
        width = np.minimum(x2[rest], x2[best]) - np.maximum(x1[rest], x1[best])
        height = np.minimum(y2[rest], y2[best]) - np.maximum(y1[rest], y1[best])
        inter = np.maximum(width, 0) * np.maximum(height, 0)
        union = areas[best] + areas[rest] - inter
        left[rest] &= inter / np.where(union > 0, union, np.inf) <= iou
    return kept


def greedy(similar: NDArray[np.bool_]) -> list[int]:
    """Who stays of N, best first, where [i, j] of ``similar`` tells that j falls if i stays."""
    fallen: set[int] = set()
    for better, other in zip(*(each.tolist() for each in similar.nonzero()), strict=True):
        if better < other and better not in fallen:
            fallen.add(other)
    return [index for index in range(len(similar)) if index not in fallen]


def nms_per_class(
    boxes: Floats,
    scores: Floats,
    classes: NDArray[np.int64],
    iou: float,
    most: int | None = None,
) -> NDArray[np.int64]:
    """As ``nms``, where only boxes of the same class suppress each other; ``classes`` is [N]."""
    labels = sorted(set(classes.tolist()))
    if len(labels) == 1:
        return nms(boxes, scores, iou, most)
    kept = [
        members[nms(boxes[members], scores[members], iou, most)]
        for members in (np.flatnonzero(classes == label) for label in labels)
    ]
    found = np.concatenate(kept) if kept else np.zeros(0, np.int64)
    return found[np.argsort(-scores[found], kind="stable")[:most]]
