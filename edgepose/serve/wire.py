"""What the server tells the page, as JSON."""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from edgepose.bundle import Bundle
from edgepose.pose.people import Person


class NetInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A net as the page names it."""

    name: str
    engine: str
    recipe: str
    precision: str
    height: int | None
    width: int | None
    trained: bool
    proven: bool


class About(msgspec.Struct, frozen=True, kw_only=True):
    """All that the page must know before the first frame.

    ``sides`` are those of the key points, ``limbs`` pairs of them with a side; points from
    ``details_from`` on are small. ``threshold`` is the score from which a point is drawn.
    """

    version: str
    pose: NetInfo
    detector: NetInfo | None
    sides: tuple[str, ...]
    limbs: tuple[tuple[int, int, str], ...]
    details_from: int
    colours: Mapping[str, str]
    threshold: float
    max_file_bytes: int


class PersonText(msgspec.Struct, frozen=True):
    """``points`` are [x, y, score] and ``box`` is xyxy, in pixels of the picture."""

    id: int | None
    score: float
    box: list[float]
    points: list[list[float]]


class FrameText(msgspec.Struct, frozen=True, kw_only=True):
    """``stages_ms`` begins with ``read``, the time to decode the picture."""

    time_s: float
    width: int
    height: int
    people: list[PersonText]
    stages_ms: dict[str, float]
    detected: bool


class EndText(msgspec.Struct, frozen=True, kw_only=True):
    """The last line about a file: how many frames it had, what could not be read."""

    frames: int
    notes: list[str]
    done: bool = True


class ErrorText(msgspec.Struct, frozen=True, kw_only=True):
    error: str
    hint: str = ""


def net_info(bundle: Bundle) -> NetInfo:
    manifest = bundle.manifest
    size = manifest.model.input
    return NetInfo(
        name=manifest.model.name,
        engine=manifest.recipe.engine,
        recipe=manifest.recipe.name,
        precision=manifest.recipe.precision,
        height=size.height if size else None,
        width=size.width if size else None,
        trained=manifest.weights.trained,
        proven=manifest.proof.passed,
    )


def person_text(person: Person) -> PersonText:
    points = np.column_stack([person.points.round(1), person.scores.astype(float).round(3)])
    return PersonText(
        person.id, round(person.score, 3), person.box.round(1).tolist(), points.tolist()
    )


def encode(value: Any) -> bytes:
    """One line of JSON; numbers that are not finite become null."""
    return msgspec.json.encode(value)
