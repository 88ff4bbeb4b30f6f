"""What an annotation file says, whatever its format: images, and the people in them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgepose.evaluate.datasets import DataSet


@dataclass(frozen=True, slots=True)
class Annotated:
    """One annotated image. ``crowd_index``, 0..1, is None but in CrowdPose."""

    image_id: int
    file_name: str
    crowd_index: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TruePerson:
    """One annotated person (or animal): ``points`` float64 [K, 3], x, y and visibility (0: none).

    ``box`` is xyxy and ``area`` in pixels² of the image; ``counted`` key points count (COCO's
    ``num_keypoints``), without any the person is no target, and neither is a ``crowd``.
    ``head_px`` is MPII's size of the head, None elsewhere.
    """

    image_id: int
    category_id: int
    points: NDArray[np.float64]
    box: tuple[float, float, float, float]
    area: float
    counted: int
    crowd: bool = False
    head_px: float | None = None

    @property
    def is_target(self) -> bool:
        return self.counted > 0 and not self.crowd


@dataclass(frozen=True)
class Truth:
    """All of a file, or of its first images; ``sha256`` is the file's."""

    dataset: DataSet
    sha256: str
    images: tuple[Annotated, ...]
    people: tuple[TruePerson, ...]

    def by_image(self) -> dict[int, list[TruePerson]]:
        """The people of every image, in the order of the file."""
        found: dict[int, list[TruePerson]] = {image.image_id: [] for image in self.images}
        for person in self.people:
            found[person.image_id].append(person)
        return found

    def first(self, limit: int | None) -> "Truth":
        """Its first ``limit`` images only, and who is in them."""
        if limit is None or limit >= len(self.images):
            return self
        images = self.images[:limit]
        return Truth(self.dataset, self.sha256, images, tuple(self._people_in(images)))

    def _people_in(self, images: tuple[Annotated, ...]) -> Iterator[TruePerson]:
        kept = {image.image_id for image in images}
        return (person for person in self.people if person.image_id in kept)
