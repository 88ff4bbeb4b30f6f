"""Greedy non-maximum suppression of boxes."""

import numpy as np
from numpy.typing import NDArray

from edgepose.pose.result import Floats

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


def nms(boxes: Floats, scores: Floats, iou: float) -> NDArray[np.int64]:
    """Indices of the boxes [N, 4] that stay, best score first.

    A box falls where its IoU with a better one that stays is greater than ``iou`` (equal stays).
    """
    order = np.argsort(-scores, kind="stable")
    if len(order) > _AT_ONCE:  # many overlap the first ones: what is left is looked at again
        kept: list[int] = []
        while order.size:
            best, rest = order[0], order[1:]
            kept.append(int(best))
            order = rest[box_iou(boxes[best : best + 1], boxes[rest])[0] <= iou]
        return np.array(kept, np.int64)
    ordered = boxes[order]
    return order[greedy(box_iou(ordered, ordered) > iou)]


def greedy(similar: NDArray[np.bool_]) -> list[int]:
    """Who stays of N, best first, where [i, j] of ``similar`` tells that j falls if i stays."""
    left = np.ones(len(similar), bool)
    kept: list[int] = []
    while left.any():
        best = int(left.argmax())
        kept.append(best)
        left &= ~similar[best]
        left[best] = False
    return kept


def nms_per_class(
    boxes: Floats, scores: Floats, classes: NDArray[np.int64], iou: float
) -> NDArray[np.int64]:
    """As ``nms``, where only boxes of the same class suppress each other; ``classes`` is [N]."""
    labels = sorted(set(classes.tolist()))
    if len(labels) == 1:
        return nms(boxes, scores, iou)
    kept = [
        members[nms(boxes[members], scores[members], iou)]
        for members in (np.flatnonzero(classes == label) for label in labels)
    ]
    found = np.concatenate(kept) if kept else np.zeros(0, np.int64)
    return found[np.argsort(-scores[found], kind="stable")]
