"""COCO results: a list with one entry a person."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np

from edgepose.files import take_place, temporary_beside
from edgepose.frames.source import FramePicture, Image
from edgepose.pose.people import Person

_PERSON_CATEGORY = 1


class CocoJson:
    """Written as it comes: a long film's results need no memory."""

    draws = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._empty = True

    def take(self, frame: FramePicture, people: Sequence[Person], drawn: Image | None) -> None:
        file = self._file or self._begin()
        for person in people:
            file.write(b"[\n" if self._empty else b",\n")
            file.write(msgspec.json.encode(result_of(person, frame)))
            self._empty = False

    def _begin(self) -> BinaryIO:
        self._temporary = temporary_beside(self.path)
        self._file = self._temporary.open("wb")
        return self._file

    def close(self) -> None:
        file = self._file or self._begin()
        try:
            with file:
                file.write(b"[]\n" if self._empty else b"\n]\n")
            take_place(self._temporary, self.path)
        finally:
            self._temporary.unlink(missing_ok=True)


def result_of(person: Person, frame: FramePicture) -> dict[str, Any]:
    """What COCO's evaluator reads, and what it does not mind: file or time, and the person's id.

    ``keypoints`` are x, y, score for each point, all 0 where it was not found; ``bbox`` is x, y,
    width, height; in pixels of the image.
    """
    triples = np.column_stack([person.points, person.scores])
    triples[person.scores <= 0] = 0
    x0, y0, x1, y1 = (float(value) for value in person.box)
    box = (x0, y0, x1 - x0, y1 - y0)
    of_film = {} if frame.time_s is None else {"time_s": round(frame.time_s, 6)}
    named = {"file_name": frame.name} if frame.time_s is None else {}
    return {
        "image_id": frame.id,
        "category_id": _PERSON_CATEGORY,
        "keypoints": [round(value, 3) for value in triples.ravel().tolist()],
        "score": round(float(person.score), 5),
        "bbox": [round(value, 3) for value in box],
        **({"id": person.id} if person.id is not None else {}),
        **named,
        **of_film,
    }
