"""Clips made of photographs whose people are known: a window that moves over each of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgepose.pose.oks import oks, sigmas_for

_WINDOW = 0.92  # of the photograph's width and height


@dataclass(frozen=True, eq=False)
class Shot:
    """One frame, uint8 BGR, and its people: ``points`` [P, 17, 3] (x, y, seen), ``areas`` [P]."""

    image: NDArray[np.uint8]
    points: NDArray[np.float64]
    areas: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Clip:
    name: str
    shots: tuple[Shot, ...]


def film(images: Path, frames: int) -> list[Clip]:
    """A clip of so many frames of each photograph in ``test_coco.json``."""
    truth = json.loads((images / "test_coco.json").read_text())
    people: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in truth["images"]}
    for person in truth["annotations"]:
        if person["num_keypoints"]:
            people[person["image_id"]].append(person)
    return [
        _clip(images / image["file_name"], people[image["id"]], frames) for image in truth["images"]
    ]


def likeness(shot: Shot, found: Sequence[NDArray[Any]]) -> list[float]:
    """Of each person in ``shot`` the OKS with the pose [17, 2] in ``found`` that fits best."""
    sigmas = sigmas_for(shot.points.shape[1])
    best = []
    for person, area in zip(shot.points, shot.areas.tolist(), strict=True):
        seen = person[:, 2] > 0
        near = (oks(each[seen], person[seen, :2], sigmas[seen], area) for each in found)
        best.append(max(near, default=0.0))
    return best


def _clip(path: Path, people: list[dict[str, Any]], frames: int) -> Clip:
    photograph = cv2.imread(str(path))
    size = np.array(photograph.shape[1::-1])
    window = (size * _WINDOW).astype(int)
    # Half a circle: the window never stands still, and never jumps.
    angles = np.linspace(0, np.pi, frames)
    corners = np.stack([(1 - np.cos(angles)) / 2, np.sin(angles)], axis=-1) * (size - window)
    points = np.array([person["keypoints"] for person in people], np.float64).reshape(-1, 17, 3)
    areas = np.array([person["area"] for person in people], np.float64)
    shots = [_shot(photograph, corner, window, points, areas) for corner in corners.astype(int)]
    return Clip(path.name, tuple(shots))


def _shot(
    photograph: NDArray[np.uint8],
    corner: NDArray[np.int64],
    window: NDArray[np.int64],
    points: NDArray[np.float64],
    areas: NDArray[np.float64],
) -> Shot:
    (left, top), (right, bottom) = corner, corner + window
    moved = points.copy()
    moved[..., :2] -= corner
    inside = ((moved[..., :2] >= 0) & (moved[..., :2] < window)).all(axis=-1)
    moved[..., 2] *= inside
    there = moved[..., 2].any(axis=1)
    image = np.ascontiguousarray(photograph[top:bottom, left:right])
    return Shot(image, moved[there], areas[there])
