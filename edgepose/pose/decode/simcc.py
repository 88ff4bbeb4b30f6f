"""SimCC: each axis of a key point is a classification over bins finer than a pixel."""

import numpy as np
from numpy.typing import NDArray

from edgepose.pose.result import Floats, Keypoints


def decode_simcc(x: Floats, y: Floats, split: float) -> Keypoints:
    """Raw logits [1, K, width·split] and [1, K, height·split] to key points, as mmpose does.

    Position = first best bin / ``split``; score = the smaller of the two best logits (neither
    softmax nor sigmoid). Score ≤ 0 means no point: both coordinates are then -1 bin.
    """
    points, scores = simcc_points(x, y, split)
    return Keypoints(points[0], scores[0])


def simcc_points(
    x: Floats, y: Floats, split: float
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """As ``decode_simcc`` for N crops at once: points [N, K, 2] and scores [N, K]."""
    count, keypoints = x.shape[:2]
    crops, points = np.arange(count)[:, None], np.arange(keypoints)
    across, down = x.argmax(axis=-1), y.argmax(axis=-1)
    scores = np.minimum(x[crops, points, across], y[crops, points, down])
    bins = np.empty((count, keypoints, 2))
    bins[..., 0], bins[..., 1] = across, down
    nowhere = scores <= 0
    if nowhere.any():
        bins[nowhere] = -1
    return bins / split, scores.astype(np.float32, copy=False)
