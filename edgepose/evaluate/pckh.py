"""PCKh: the share of key points within a part of the head's size of where they are. Pure."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgepose.evaluate.results import Result
from edgepose.evaluate.truth import Truth

THRESHOLDS = (0.5, 0.1)
_JOINTS = {
    "head": (9,),
    "shoulder": (12, 13),
    "elbow": (11, 14),
    "wrist": (10, 15),
    "hip": (2, 3),
    "knee": (1, 4),
    "ankle": (0, 5),
}
_LEFT_OUT = (6, 7)  # pelvis and thorax do not count in the mean


def score_pckh(
    truth: Truth, found: Mapping[int, Sequence[Result]]
) -> dict[str, dict[str, float | None]]:
    """Per threshold the shares 0..1 of each joint (left and right averaged) and of all.

    ``found`` holds, per image, the results of its persons in the truth's order; whoever is missing
    there counts as wrong. None where nothing is annotated. As MPII's own evaluation has it: of all
    means each key point's, except for those of pelvis and thorax.
    """
    distances, visible = _distances(truth, found)
    return {f"PCKh@{limit:g}": _shares(distances <= limit, visible) for limit in THRESHOLDS}


def _shares(right: NDArray[np.bool_], visible: NDArray[np.bool_]) -> dict[str, float | None]:
    counts, hits = visible.sum(axis=0), (right & visible).sum(axis=0)
    shares: dict[str, float | None] = {
        "mean": _share(np.delete(hits, _LEFT_OUT).sum(), np.delete(counts, _LEFT_OUT).sum())
    }
    for name, joints in _JOINTS.items():
        sides = [_share(hits[joint], counts[joint]) for joint in joints]
        known = [side for side in sides if side is not None]
        shares[name] = sum(known) / len(known) if known else None
    return shares


def _share(hits: int, count: int) -> float | None:
    return float(hits / count) if count else None


def _distances(
    truth: Truth, found: Mapping[int, Sequence[Result]]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Distances in heads and what is annotated, both [N, K]."""
    distances, visible = [], []
    for image_id, people in truth.by_image().items():
        results = found.get(image_id, ())
        for index, person in enumerate(person for person in people if person.is_target):
            visible.append(person.points[:, 2] > 0)
            if index < len(results):
                points = np.array(results[index].points).reshape(-1, 3)[:, :2]
                away = np.linalg.norm(points - person.points[:, :2], axis=1)
                distances.append(away / (person.head_px or np.nan))
            else:
                distances.append(np.full(len(person.points), np.inf))
    shape = (-1, truth.dataset.keypoints)  # also of nobody
    return np.array(distances).reshape(shape), np.array(visible, np.bool_).reshape(shape)
