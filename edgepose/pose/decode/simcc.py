"""SimCC: each axis of a key point is a classification over bins finer than a pixel."""

import numpy as np

from edgepose.pose.result import Floats, Keypoints


def decode_simcc(x: Floats, y: Floats, split: float) -> Keypoints:
    """Raw logits [1, K, width·split] and [1, K, height·split] to key points, as mmpose does.

    Position = first best bin / ``split``; score = the smaller of the two best logits (neither
    softmax nor sigmoid). Score ≤ 0 means no point: both coordinates are then -1 bin.
    """
    bins = np.stack([x[0].argmax(-1), y[0].argmax(-1)], axis=-1).astype(np.float64)
    scores = np.minimum(x[0].max(-1), y[0].max(-1)).astype(np.float32)
    bins[scores <= 0] = -1
    return Keypoints(bins / split, scores)
