"""RTMDet: per cell a class logit and the distances to the box's four sides."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgepose.pose.nms import nms_per_class
from edgepose.pose.result import Boxes, Floats
from edgepose.zoo import RTMDetDecoder

_BEST_PER_LEVEL = 1000  # mmdet's nms_pre
_MOST_BOXES = 100  # mmdet's max_per_img


def decode_rtmdet(
    outputs: Sequence[Floats], decoder: RTMDetDecoder, size: tuple[int, int]
) -> Boxes:
    """Level outputs to at most 100 boxes in input pixels, as mmdet does it.

    ``size`` (height, width) is the part of the input that the image fills: boxes are cut to it.
    """
    found = [
        _select(boxes, scores, decoder.score_threshold)
        for boxes, scores in zip(*candidates(outputs, decoder, size), strict=True)
    ]
    boxes, scores, classes = (np.concatenate(parts) for parts in zip(*found, strict=True))
    kept = nms_per_class(boxes, scores, classes, decoder.nms_iou)[:_MOST_BOXES]
    return Boxes(boxes[kept], scores[kept], classes[kept])


def candidates(
    outputs: Sequence[Floats], decoder: RTMDetDecoder, size: tuple[int, int]
) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Per level the boxes [h·w, 4] xyxy in input pixels and the scores [h·w, C] of all cells.

    Cell (row, column) stands at pixel (column·stride, row·stride), without a half-cell offset.
    """
    height, width = size
    boxes, scores = [], []
    for stride, (logits, distances) in zip(decoder.strides, _levels(outputs, decoder), strict=True):
        rows, columns = np.indices(logits.shape[:2], np.float32) * stride
        cells = np.stack([columns, rows], axis=-1)
        corners = np.concatenate([cells - distances[..., :2], cells + distances[..., 2:]], axis=-1)
        limits = np.array([width, height, width, height], np.float32)
        boxes.append(np.clip(corners, 0, limits).reshape(-1, 4).astype(np.float32))
        scores.append(_sigmoid(logits).reshape(-1, logits.shape[-1]))
    return boxes, scores


def _levels(
    outputs: Sequence[Floats], decoder: RTMDetDecoder
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Logits [h, w, C] and distances [h, w, 4] per level, whatever the layout."""
    arrays = [output[0].astype(np.float32) for output in outputs]
    if decoder.layout == "fused":
        return [(level[..., :-4], level[..., -4:]) for level in arrays]
    half = len(decoder.strides)
    return [
        (logits.transpose(1, 2, 0), distances.transpose(1, 2, 0))
        for logits, distances in zip(arrays[:half], arrays[half:], strict=True)
    ]


def _select(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], threshold: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """The best (cell, class) pairs of one level above the threshold that have an area."""
    cells, classes = np.nonzero(scores > threshold)
    found = scores[cells, classes]
    best = np.argsort(-found, kind="stable")[:_BEST_PER_LEVEL]
    best = best[(boxes[cells[best], 2:] > boxes[cells[best], :2]).all(-1)]
    return boxes[cells[best]], found[best], classes[best]


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    scores: NDArray[np.float32] = 0.5 * (1 + np.tanh(0.5 * logits))
    return scores
