"""Non-maximum suppression of poses by their key points: one person found twice is one person."""

import numpy as np
from numpy.typing import NDArray

from edgepose.pose.oks import oks_to_others
from edgepose.pose.result import Floats

_MOST_POSES = 20  # mmpose's limit of the soft variant


def oks_nms(
    poses: Floats,
    scores: Floats,
    areas: Floats,
    sigmas: NDArray[np.float64],
    limit: float,
    least_score: float | None = None,
) -> NDArray[np.int64]:
    """Indices of the poses [N, K, 3] (x, y, score) that stay, best of ``scores`` [N] first.

    A pose falls where its OKS with a better one that stays is greater than ``limit``. ``areas`` [N]
    in pixels²; see ``oks_to_others`` for ``least_score``.
    """
    order = _best_first(scores)
    kept: list[int] = []
    while order.size:
        best, rest = int(order[0]), order[1:]
        kept.append(best)
        similar = oks_to_others(
            poses[best], poses[rest], sigmas, (float(areas[best]), areas[rest]), least_score
        )
        order = rest[similar <= limit]
    return np.array(kept, np.int64)


def soft_oks_nms(
    poses: Floats, scores: Floats, areas: Floats, sigmas: NDArray[np.float64], limit: float
) -> NDArray[np.int64]:
    """As ``oks_nms``, but the score of a pose like a better one decays by exp(-OKS² / limit).

    At most 20 poses stay, in the order of what is left of their scores.
    """
    order = _best_first(scores)
    left = np.asarray(scores, np.float64)[order]
    kept: list[int] = []
    while order.size and len(kept) < _MOST_POSES:
        best, rest = int(order[0]), order[1:]
        kept.append(best)
        similar = oks_to_others(poses[best], poses[rest], sigmas, (float(areas[best]), areas[rest]))
        left = left[1:] * np.exp(-(similar**2) / limit)
        again = _best_first(left)
        order, left = rest[again], left[again]
    return np.array(kept, np.int64)


def _best_first(scores: Floats) -> NDArray[np.int64]:
    return np.argsort(scores)[::-1]
