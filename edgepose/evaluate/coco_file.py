"""Annotation files in COCO's format: COCO, CrowdPose, COCO-WholeBody and AP-10K."""

from pathlib import Path
from typing import Any

import numpy as np

from edgepose.errors import ConfigError
from edgepose.evaluate.datasets import DataSet
from edgepose.evaluate.json_file import Entry, read_json
from edgepose.evaluate.truth import Annotated, TruePerson, Truth

PERSON = 1


def read_coco(path: Path, dataset: DataSet) -> Truth:
    """Read a file of ``dataset``, images in the order of their ids.

    Raises ConfigError where it is of another kind, is empty, or lacks what scoring needs.
    """
    data, sha256 = read_json(path)
    hint = f"Give the JSON file with the key points of {dataset.title}; see docs/evaluation.md."
    if not isinstance(data, dict) or not {"images", "annotations"} <= set(data):
        raise ConfigError(f"{path} is not an annotation file in COCO's format", hint=hint)
    for field in ("images", "annotations"):
        if not isinstance(data[field], list):
            raise ConfigError(f"{path}: {field!r} in it is not a list", hint=hint)
    images = _images(path, dataset, data["images"])
    if not images or not data["annotations"]:
        raise ConfigError(f"{path}: nothing is annotated in it", hint=hint)
    category = _person(path, data, hint) if dataset.persons_only else None
    people = []
    for index, each in enumerate(data["annotations"]):
        person = _person_of(Entry(path, "annotation", index, each), dataset, category, hint)
        if person.image_id not in images:
            raise ConfigError(
                f"{path}: annotation {index} is of image {person.image_id}, which is not listed"
            )
        people.append(person)
    if not any(person.is_target for person in people):
        raise ConfigError(f"{path}: no annotation has key points", hint=hint)
    return Truth(dataset, sha256, tuple(images[key] for key in sorted(images)), tuple(people))


def _images(path: Path, dataset: DataSet, listed: Any) -> dict[int, Annotated]:
    found: dict[int, Annotated] = {}
    for index, each in enumerate(listed):
        entry = Entry(path, "image", index, each)
        key = entry.integer("id")
        if key in found:
            raise entry.error("has the id of another image")
        crowd = entry.number("crowdIndex") if dataset.crowd_index else None
        found[key] = Annotated(key, str(entry.value("file_name")), crowd)
    return found


def _person(path: Path, data: Any, hint: str) -> int:
    """The category of persons; COCO's where the file names none."""
    categories = data.get("categories") or []
    if not isinstance(categories, list):
        raise ConfigError(f"{path}: 'categories' in it is not a list", hint=hint)
    for index, each in enumerate(categories):
        if isinstance(each, dict) and each.get("name") == "person":
            return Entry(path, "category", index, each).integer("id", PERSON)
    return PERSON


def _person_of(entry: Entry, dataset: DataSet, category: int | None, hint: str) -> TruePerson:
    category_id = entry.integer("category_id", hint=hint)
    if category is not None and category_id != category:
        raise entry.error(f"is of category {category_id}, persons are of {category}", hint)
    x, y, width, height = entry.numbers("bbox", (4,), hint).tolist()
    parts = [_points(entry, field, dataset, hint) for field in dataset.fields]
    points = np.concatenate(parts)
    seen = int((points[:, 2] > 0).sum())
    whole = len(parts) == 1  # COCO-WholeBody's `num_keypoints` is that of the body
    if dataset.box_area is None:
        area = entry.number("area", hint)
    else:
        area = width * height * dataset.box_area
    return TruePerson(
        image_id=entry.integer("image_id", hint=hint),
        category_id=category_id,
        points=points,
        box=(x, y, x + width, y + height),
        area=area,
        counted=entry.integer("num_keypoints", seen) if whole else seen,
        crowd=bool(entry.integer("iscrowd", 0)),
    )


def _points(entry: Entry, field: str, dataset: DataSet, hint: str) -> np.ndarray[Any, Any]:
    """Key points [n, 3] of one field."""
    expected = next(
        (part.last - part.first for part in dataset.parts if part.field == field),
        dataset.keypoints,
    )
    flat = entry.value(field, hint)
    if isinstance(flat, list) and len(flat) != 3 * expected and len(flat) % 3 == 0:
        raise entry.error(
            f"has {len(flat) // 3} key points in {field!r}, {dataset.title} has {expected}", hint
        )
    return entry.numbers(field, (3 * expected,), hint).reshape(-1, 3)
