"""Non-maximum suppression of poses by their key points: one person found twice is one person."""

import numpy as np
from numpy.typing import NDArray

from edgepose.pose.nms import greedy
from edgepose.pose.oks import oks_between
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
    in pixels²; see ``oks_between`` for ``least_score``.
    """
    similar = oks_between(poses, poses, sigmas, (areas, areas), least_score)
    return distinct(similar, scores, limit)


def distinct(similar: NDArray[np.float64], scores: Floats, limit: float) -> NDArray[np.int64]:
    """As ``oks_nms``, where [i, j] of ``similar`` is the OKS of poses i and j."""
    order = _best_first(scores)
    return order[greedy(similar[order[:, None], order] > limit)]


def soft_oks_nms(
    poses: Floats, scores: Floats, areas: Floats, sigmas: NDArray[np.float64], limit: float
) -> NDArray[np.int64]:
    """As ``oks_nms``, but the score of a pose like a better one decays by exp(-OKS² / limit).

    At most 20 poses stay, in the order of what is left of their scores.
    """
    order = _best_first(scores)
    left = np.asarray(scores, np.float64)[order]
    similar = oks_between(poses, poses, sigmas, (areas, areas))
    kept: list[int] = []
    while order.size and len(kept) < _MOST_POSES:
        best, rest = int(order[0]), order[1:]
        kept.append(best)
        left = left[1:] * np.exp(-(similar[best, rest] ** 2) / limit)
        again = _best_first(left)
        order, left = rest[again], left[again]
    return np.array(kept, np.int64)


def _best_first(scores: Floats) -> NDArray[np.int64]:
    return np.argsort(scores)[::-1]
