"""Bottom-up nets: heatmaps of all people at once, in two scales."""

import cv2
import numpy as np
from numpy.typing import NDArray

from edgepose.pose.decode.heatmap import decode_heatmaps
from edgepose.pose.result import Floats, Keypoints


def mean_heatmaps(out0: Floats, out1: Floats, keypoints: int) -> NDArray[np.float32]:
    """Mean [1, K, h/2, w/2] of ``out1`` and the first K maps of ``out0``, enlarged to its size."""
    height, width = out1.shape[2:]
    enlarged = np.stack(
        [
            cv2.resize(m, (width, height), interpolation=cv2.INTER_LINEAR)
            for m in out0[0, :keypoints].astype(np.float32)
        ]
    )
    mean: NDArray[np.float32] = (enlarged + out1[0].astype(np.float32)) / 2
    return mean[None]


def strongest_peaks(
    out0: Floats, out1: Floats, keypoints: int, stride: tuple[float, float]
) -> Keypoints:
    """The strongest peak per joint, whoever's it is, with a quarter offset.

    ``stride`` (x, y) is input pixels per cell of ``out1``; a cell's centre is its position. This
    serves to compare two runs of one net on one image: it does not group joints into people.
    """
    peaks = decode_heatmaps(mean_heatmaps(out0, out1, keypoints), stride)
    centre = np.where(peaks.scores[:, None] > 0, np.array(stride) / 2, 0.0)
    return Keypoints(peaks.points + centre, peaks.scores)
