"""Greedy non-maximum suppression of boxes."""

import numpy as np
from numpy.typing import NDArray

from edgepose.pose.result import Floats


def box_iou(boxes: Floats, others: Floats) -> NDArray[np.float64]:
    """Intersection over union, [N, M] for xyxy boxes [N, 4] and [M, 4]; 0 for empty boxes."""
    a, b = boxes[:, None].astype(np.float64), others[None].astype(np.float64)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    inter = np.clip(sides, 0, None).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inter
    iou: NDArray[np.float64] = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
    return iou


def nms(boxes: Floats, scores: Floats, iou: float) -> NDArray[np.int64]:
    """Indices of the boxes [N, 4] that stay, best score first.

    A box falls where its IoU with a better one that stays is greater than ``iou`` (equal stays).
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        order = rest[box_iou(boxes[best : best + 1], boxes[rest])[0] <= iou]
    return np.array(kept, np.int64)


def nms_per_class(
    boxes: Floats, scores: Floats, classes: NDArray[np.int64], iou: float
) -> NDArray[np.int64]:
    """As ``nms``, where only boxes of the same class suppress each other; ``classes`` is [N]."""
    kept = [
        members[nms(boxes[members], scores[members], iou)]
        for members in (np.flatnonzero(classes == label) for label in np.unique(classes))
    ]
    found = np.concatenate(kept) if kept else np.zeros(0, np.int64)
    return found[np.argsort(-scores[found], kind="stable")]
