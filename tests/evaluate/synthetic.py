"""Annotated people who never were, and results that find them more or less well."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose.evaluate.datasets import DataSet
from edgepose.evaluate.results import Result
from edgepose.evaluate.truth import Annotated, TruePerson, Truth

_SIZES_PX = (40, 300)
_FRAME_PX = 640


def people_and_results(
    dataset: DataSet, images: int, people: int, *, seed: int = 0, extra: int = 0
) -> tuple[Truth, dict[int, list[Result]]]:
    """``people`` in ``images``, each found with some error; of the results ``extra`` find nobody.

    One person in ten is a crowd or without key points.
    """
    random = np.random.default_rng(seed)
    listed = tuple(
        Annotated(key, f"{key}.jpg", float(random.random())) for key in range(1, images + 1)
    )
    true: list[TruePerson] = []
    found: dict[int, list[Result]] = {image.image_id: [] for image in listed}
    for number in range(people):
        image_id = 1 + number % images
        person = _person(dataset, image_id, random)
        true.append(person)
        found[image_id].append(_result(person, random))
    for number in range(extra):
        stranger = _person(dataset, 1 + number % images, random)
        found[stranger.image_id].append(_result(stranger, random))
    return Truth(dataset, "0" * 64, listed, tuple(true)), found


def _person(dataset: DataSet, image_id: int, random: np.random.Generator) -> TruePerson:
    width, height = random.uniform(*_SIZES_PX, 2)
    x, y = random.uniform(0, _FRAME_PX, 2)
    points = np.empty((dataset.keypoints, 3))
    points[:, :2] = random.uniform((x, y), (x + width, y + height), (dataset.keypoints, 2))
    points[:, 2] = random.integers(0, 3, dataset.keypoints)
    crowd, empty = random.random(2) < 0.05
    points[points[:, 2] == 0] = 0
    points *= not empty
    return TruePerson(
        image_id=image_id,
        category_id=1,
        points=points,
        box=(x, y, x + width, y + height),
        area=width * height * 0.6,
        counted=int((points[:, 2] > 0).sum()),
        crowd=bool(crowd),
    )


def _result(person: TruePerson, random: np.random.Generator) -> Result:
    points: NDArray[Any] = person.points.copy()
    error_px = random.choice([0.01, 0.05, 0.2]) * np.sqrt(person.area)
    points[:, :2] += random.normal(0, error_px, (len(points), 2))
    points[:, 2] = random.random(len(points))
    return Result(1, float(random.random()), points.ravel().tolist())
