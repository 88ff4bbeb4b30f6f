"""What one evaluation said: a line of evaluations.jsonl, never edited afterwards.

Schema versions: 1, the first.
"""

from typing import Final, Literal

import msgspec

SCHEMA_VERSION: Final = 1

BoxSource = Literal["truth", "detections", "detector", "none"]
Scores = dict[str, dict[str, float | None]]


class Evaluation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How right a bundle's key points are on a data set.

    ``scores`` are metrics, 0..1, by group; ``metric`` and ``value`` are the one to quote.
    ``precision`` is the recipe's, ``computed_in`` what the runtime said that it was, None where it
    did not. ``device`` is None where the bundle ran in this process; ``threads`` None is the
    device's own choice. ``boxes`` says where a top-down net's came from: ``truth``, ``detections``
    (a file of ``boxes_sha256``), ``detector`` (the bundle ``detector``), or ``none``.
    ``images_sha256`` is of the names and hashes of all image files that were read; ``images``
    counts those evaluated, ``partial`` tells that the file has more.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    evaluation_id: str
    created_at: str
    edgepose_version: str
    git_commit: str | None
    bundle_id: str
    model: str
    target: str
    recipe: str
    engine: str
    precision: str
    computed_in: str | None = None
    trained: bool
    device: str | None
    emulated: bool
    threads: int | None
    dataset: str
    flip: bool
    boxes: BoxSource
    boxes_sha256: str | None
    detector: str | None
    detector_bundle_id: str | None
    annotations_sha256: str
    images_sha256: str
    images: int
    partial: bool
    people: int
    found: int
    metric: str
    value: float | None
    scores: Scores
    versions: dict[str, str]
