"""From the people that a net found to results that a data set's rules score."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgepose.evaluate.datasets import DataSet
from edgepose.pose.people import Person
from edgepose.pose.pose_nms import oks_nms
from edgepose.pose.preprocess import PADDING
from edgepose.zoo import InputSpec

_SAME_OKS = 0.9


class Result(msgspec.Struct, frozen=True, array_like=True):
    """One person found: ``points`` flat x, y, score of each key point, in pixels of the image."""

    category_id: int
    score: float
    points: list[float]


def results_of(people: Sequence[Person], categories: Sequence[int]) -> list[Result]:
    """As they are. ``categories`` [N] are those of the boxes that they were found in."""
    return [
        Result(category, _finite(person.score), _flat(person))
        for person, category in zip(people, categories, strict=True)
    ]


def without_doubles(
    people: Sequence[Person], categories: Sequence[int], dataset: DataSet, spec: InputSpec
) -> list[Result]:
    """Of people found in boxes: without those whose OKS with a better one is above 0.9 (mmpose).

    The area that OKS is measured in is that of the net's crop.
    """
    if not people:
        return []
    poses = np.array([_flat(person) for person in people]).reshape(len(people), -1, 3)
    scores = np.array([_finite(person.score) for person in people])
    areas = np.array([_crop_area(person.box, spec) for person in people])
    kept = oks_nms(poses, scores, areas, np.array(dataset.sigmas), _SAME_OKS)
    results = results_of(people, categories)
    return [results[index] for index in kept]


def _crop_area(box: NDArray[np.float64], spec: InputSpec) -> float:
    width, height = (box[2:] - box[:2]) * PADDING
    wide = max(width, height * spec.width / spec.height)
    return float(wide * wide * spec.height / spec.width)


def _flat(person: Person) -> list[float]:
    # An evaluator that meets NaN calls anything a match.
    points = np.column_stack([person.points, person.scores])
    flat: list[float] = np.where(np.isfinite(points), points, 0.0).ravel().tolist()
    return flat


def _finite(score: float) -> float:
    return float(score) if np.isfinite(score) else 0.0
