"""Object key-point similarity: how near two sets of key points of one person lie."""

import numpy as np
from numpy.typing import NDArray

from edgepose.pose.result import Floats

# From pycocotools; CrowdPose's from its own evaluation code.
_COCO = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
    *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
_CROWDPOSE = (
    *(0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107),
    *(0.087, 0.087, 0.089, 0.089, 0.079, 0.079),
)
_NO_AREA = 2 * float(np.spacing(1))  # added to twice an area, which may be 0
_UNIFORM = 0.05  # MPII (scored by PCKh, has no sigmas) and any set that we do not know


def sigmas_for(keypoints: int) -> NDArray[np.float64]:
    """Sigmas [K] of COCO (17 points) or CrowdPose (14); 0.05 for each point of any other set."""
    known = {len(_COCO): _COCO, len(_CROWDPOSE): _CROWDPOSE}
    return np.array(known.get(keypoints, (_UNIFORM,) * keypoints))


def oks(points: Floats, others: Floats, sigmas: NDArray[np.float64], area: float) -> float:
    """Mean over the K points of exp(-d² / (2 · area · (2·sigma)²)), 0..1, as COCO defines it.

    ``points`` and ``others`` [K, 2] in pixels, ``area`` in pixels²; pass only visible points.
    """
    squared = ((points.astype(np.float64) - others) ** 2).sum(-1)
    return float(np.exp(-squared / (2 * area * (2 * sigmas) ** 2)).mean())


def oks_between(
    poses: Floats,
    others: Floats,
    sigmas: NDArray[np.float64],
    areas: tuple[Floats, Floats],
    least_score: float | None = None,
) -> NDArray[np.float64]:
    """OKS [N, M] of ``poses`` [N, K, 3] (x, y, score) with ``others`` [M, K, 3], as mmpose has it.

    ``areas`` [N] and [M] are the poses' in pixels²; the mean of a pair's counts. With
    ``least_score`` only points count that both have above it; 0 where there is none.
    """
    own, their = (np.asarray(each, np.float64) for each in areas)
    twice_area = own[:, None] + their + _NO_AREA
    mine = poses[:, None].astype(np.float64, copy=False)
    x, y = mine[..., 0] - others[:, :, 0], mine[..., 1] - others[:, :, 1]
    similarity = np.exp((x * x + y * y) / (twice_area[..., None] * (-4 * sigmas * sigmas)))
    if least_score is None:
        mean: NDArray[np.float64] = similarity.mean(axis=-1)
        return mean
    seen = (poses[:, None, :, 2] > least_score) & (others[:, :, 2] > least_score)
    of_seen: NDArray[np.float64] = (similarity * seen).sum(axis=-1) / np.maximum(seen.sum(-1), 1)
    return of_seen
