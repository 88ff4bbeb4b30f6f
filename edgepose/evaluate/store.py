"""Where evaluations live: ``evaluations.jsonl`` in the folder of the records, append-only."""

import logging
from collections.abc import Collection
from pathlib import Path

import msgspec

from edgepose.bench.store import default_folder
from edgepose.evaluate.record import SCHEMA_VERSION, Evaluation
from edgepose.files import append_line

_log = logging.getLogger(__name__)


class _Head(msgspec.Struct):
    """What tells whether a line is of this schema."""

    schema_version: int


def append_evaluation(evaluation: Evaluation, folder: Path | None = None) -> Path:
    """Write it to the end of the file and to the disk; returns the file."""
    path = _path(folder)
    append_line(path, msgspec.json.encode(evaluation))
    return path


def evaluations_of(bundle_ids: Collection[str], folder: Path | None = None) -> list[Evaluation]:
    """All evaluations of these bundles, oldest first; what is no evaluation gives a warning."""
    path = _path(folder)
    if not path.exists():
        return []
    found = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            evaluation = _read(line, f"{path}: line {number}") if line.strip() else None
            if evaluation and evaluation.bundle_id in bundle_ids:
                found.append(evaluation)
    return found


def _read(line: bytes, where: str) -> Evaluation | None:
    try:
        if msgspec.json.decode(line, type=_Head).schema_version > SCHEMA_VERSION:
            _log.warning("%s is left out: a newer edgepose wrote it", where)
            return None
        return msgspec.json.decode(line, type=Evaluation)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _log.warning("%s is left out: %s", where, error)
        return None


def _path(folder: Path | None) -> Path:
    return (folder or default_folder()) / "evaluations.jsonl"
