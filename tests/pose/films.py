"""Films for the pipeline: a photograph that the camera moves over, and a stage with dots on it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgepose.pose.oks import oks, sigmas_for
from edgepose.pose.people import Person
from edgepose.pose.preprocess import read_image
from edgepose.pose.result import Boxes
from edgepose.pose.stages import Stages
from edgepose.zoo import ModelSpec, model_spec

SIZE = (640, 480)
Moved = tuple[NDArray[np.uint8], NDArray[np.float64]]


def pan(path: Path, frames: int) -> Iterator[Moved]:
    """The camera sways over a photograph and zooms: each picture, and where its pixels are now."""
    image = read_image(path)
    height, width = image.shape[:2]
    for turn in np.linspace(0, 2 * np.pi, frames, endpoint=False):
        scale = min(SIZE[0] / width, SIZE[1] / height) * (1 + 0.15 * np.sin(turn))
        x = SIZE[0] / 2 - scale * width / 2 + 30 * np.sin(turn)
        y = SIZE[1] / 2 - scale * height / 2 + 15 * np.cos(turn)
        matrix = np.array([[scale, 0, x], [0, scale, y]])
        yield cv2.warpAffine(image, matrix, SIZE), matrix


def true_poses(shared_data: Path, image_id: int) -> list[tuple[NDArray[np.float64], float]]:
    """Annotated key points [17, 3] and area of the persons of one photograph."""
    annotations = json.loads((shared_data / "images" / "test_coco.json").read_text())
    return [
        (np.array(each["keypoints"], np.float64).reshape(-1, 3), each["area"])
        for each in annotations["annotations"]
        if each["image_id"] == image_id and each["num_keypoints"] > 0
    ]


def likeness(
    people: tuple[Person, ...], truth: tuple[NDArray[np.float64], float], moved: NDArray[np.float64]
) -> tuple[float, int | None]:
    """OKS of the person most like the true one, and the id; 0 and None where there is nobody."""
    points, area = truth
    seen = points[:, 2] > 0
    there = points[seen, :2] @ moved[:, :2].T + moved[:, 2]
    sigmas = sigmas_for(17)[seen]
    found = [
        (oks(each.points[seen], there, sigmas, area * moved[0, 0] ** 2), each.id) for each in people
    ]
    return max(found, key=lambda each: each[0], default=(0.0, None))


SHAPE = (400, 600)  # of the stage
_LIMBS = np.random.default_rng(3).uniform(0, 1, (17, 2))
_FIGURE: NDArray[np.float64] = _LIMBS / _LIMBS.max(axis=0) * [40, 100]


@dataclass
class Stage:
    """People at places that a test moves; it plays the detector and the net, and counts calls.

    A pose net that looks into a box without anybody sees nothing there.
    """

    places: list[tuple[float, float]]
    looks: int = 0
    boxes: list[NDArray[np.float64]] = field(default_factory=list)
    spec: ModelSpec = field(default_factory=lambda: model_spec("rtmpose-t"))

    @property
    def image(self) -> NDArray[np.uint8]:
        return np.zeros((*SHAPE, 3), np.uint8)

    def figures(self) -> NDArray[np.float64]:
        return np.array([_FIGURE + place for place in self.places]).reshape(-1, 17, 2)

    def detect(self, image: NDArray[Any], clock: Stages | None = None) -> Boxes:
        self.looks += 1
        figures = self.figures()
        boxes = np.concatenate([figures.min(axis=1), figures.max(axis=1)], axis=1)
        count = len(boxes)
        scores, classes = np.full(count, 0.9, np.float32), np.zeros(count, np.int64)
        return Boxes(boxes.astype(np.float32), scores, classes)

    def estimate(
        self,
        image: NDArray[Any],
        boxes: NDArray[np.float64],
        box_scores: NDArray[np.float64] | None = None,
        clock: Stages | None = None,
    ) -> list[Person]:
        self.boxes.append(np.array(boxes))
        return [self._looked(np.asarray(box, np.float64)) for box in boxes]

    def _looked(self, box: NDArray[np.float64]) -> Person:
        centre = (box[:2] + box[2:]) / 2
        figures = self.figures()
        scores = np.full(17, 0.05, np.float32)
        points = np.tile(centre, (17, 1))
        if len(figures):
            middles = (figures.min(axis=1) + figures.max(axis=1)) / 2
            nearest = int(np.linalg.norm(middles - centre, axis=1).argmin())
            if ((middles[nearest] > box[:2]) & (middles[nearest] < box[2:])).all():
                points, scores = figures[nearest], np.full(17, 0.8, np.float32)
        return Person(points, scores, box, float(scores.mean()))
