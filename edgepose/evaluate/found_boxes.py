"""The boxes that a top-down net is given: annotated ones, or somebody's detections."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgepose.errors import ConfigError
from edgepose.evaluate.coco_file import PERSON
from edgepose.evaluate.json_file import Entry, read_json
from edgepose.evaluate.truth import TruePerson, Truth

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class GivenBoxes:
    """Of one image: ``boxes`` [N, 4] xyxy in pixels, ``scores`` [N] and ``categories`` [N]."""

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    categories: tuple[int, ...]

    def within(self, height: int, width: int) -> "GivenBoxes":
        """Cut to the image's pixels, as mmpose does with annotated boxes; empty ones are left out.

        The last pixel is at ``width - 1``: boxes span centres of pixels there.
        """
        corners = self.boxes.clip(0, (width - 1, height - 1, width - 1, height - 1))
        kept = (corners[:, 2:] > corners[:, :2]).all(axis=1)
        categories = tuple(np.array(self.categories, np.int64)[kept].tolist())
        return GivenBoxes(corners[kept], self.scores[kept], categories)


Given = Mapping[int, GivenBoxes]


def true_boxes(truth: Truth) -> Given:
    """The boxes of everybody who has key points and is no crowd, with a score of 1."""
    return {
        image_id: _given([person.box for person in targets], [1.0] * len(targets), targets)
        for image_id, people in truth.by_image().items()
        if (targets := [person for person in people if person.is_target])
    }


def read_detections(path: Path, truth: Truth) -> tuple[Given, str]:
    """Persons' boxes from a file of COCO detections, and its sha256.

    Other categories, and images that are not annotated, are left out with a note. Raises
    ConfigError for what is no such file, for detections without scores, or with none of use.
    """
    entries, sha256 = read_json(path)
    hint = "Give a JSON list of {image_id, category_id, bbox: [x, y, width, height], score}."
    if not isinstance(entries, list) or not entries:
        raise ConfigError(f"{path} is not a list of detections", hint=hint)
    wanted = {image.image_id for image in truth.images}
    rows: dict[int, list[tuple[list[float], float]]] = {}
    others = strangers = 0
    for index, each in enumerate(entries):
        entry = Entry(path, "detection", index, each)
        image_id = entry.integer("image_id", hint=hint)
        x, y, width, height = entry.numbers("bbox", (4,), hint).tolist()
        score = entry.number("score", hint)
        if entry.integer("category_id", PERSON) != PERSON:
            others += 1
        elif image_id not in wanted:
            strangers += 1
        elif width > 0 and height > 0:
            rows.setdefault(image_id, []).append(([x, y, x + width, y + height], score))
    if others:
        _log.info("%s: %d detections of other categories than person are left out", path, others)
    if strangers:
        _log.info("%s: %d detections are of images that are not evaluated", path, strangers)
    if not rows:
        raise ConfigError(f"{path}: it has no person in any of the {len(wanted)} images", hint=hint)
    given = {
        image_id: _given([box for box, _ in found], [score for _, score in found])
        for image_id, found in rows.items()
    }
    return given, sha256


def _given(
    boxes: Sequence[Sequence[float]],
    scores: Sequence[float],
    people: Sequence[TruePerson] = (),
) -> GivenBoxes:
    categories = tuple(person.category_id for person in people) or (PERSON,) * len(boxes)
    return GivenBoxes(
        np.array(boxes, np.float64).reshape(-1, 4), np.array(scores, np.float64), categories
    )
