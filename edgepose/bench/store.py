"""Where records live: ``records.jsonl``, append-only and the only truth, and an SQLite index.

The index holds where each record's line lies. It is derived: missing, stale or damaged, it is made
again. Writers and readers in several processes take turns through a lock on ``records.lock``.
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from edgepose.bench.contest import Comparison, Race
from edgepose.bench.index import Entry, Index
from edgepose.bench.record import SCHEMA_VERSION, Record
from edgepose.errors import UsageError
from edgepose.files import append_line

_log = logging.getLogger(__name__)


class _Head(msgspec.Struct):
    """What the index needs of a line, of any schema version."""

    schema_version: int
    record_id: str
    model: str
    target: str
    recipe: str
    device: str
    threads: int


def default_folder() -> Path:
    """``./records``; ``EDGEPOSE_RECORDS`` overrides it."""
    return Path(os.environ.get("EDGEPOSE_RECORDS") or "records")


def append_comparison(found: Comparison | Race, folder: Path | None = None) -> None:
    """Add it, raw samples and all, to ``comparisons.jsonl`` in the folder of the records."""
    path = (folder or default_folder()) / "comparisons.jsonl"
    append_line(path, msgspec.json.encode(found))


class RecordStore:
    """All records of a folder, which ``append`` creates where it does not exist."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()
        self.path = self.folder / "records.jsonl"

    def append(self, record: Record) -> None:
        """Write ``record`` to the end of the file and to the disk.

        Raises ValueError where its ``record_id`` is there already, and for a record that could not
        be read again (one that holds NaN or Inf).
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        line = msgspec.json.encode(record) + b"\n"
        msgspec.json.decode(line, type=Record)
        with self._locked(), self._index() as index:
            if index.find(record.record_id):
                raise ValueError(f"record {record.record_id!r} is already stored")
            with self.path.open("ab") as file:
                if index.ends_torn:
                    line = b"\n" + line  # a killed writer's half line stays, on a line of its own
                _write(file.fileno(), line)
                os.fsync(file.fileno())
            self._catch_up(index)

    def get(self, record_id: str) -> Record:
        """The record of this identity. Raises UsageError where there is none."""
        if self.path.exists():
            with self._locked(), self._index() as index:
                entry = index.find(record_id)
                if entry:
                    return self._read(entry)
        raise UsageError(
            f"no record {record_id!r} in {self.path}", hint="See all with `edgepose report`."
        )

    def latest(
        self,
        *,
        model: str | None = None,
        target: str | None = None,
        recipe: str | None = None,
        device: str | None = None,
    ) -> list[Record]:
        """The last record per (model, target, recipe, device, threads), in the order of these.

        Only of the given model, target, recipe or device, where one is given.
        """
        if not self.path.exists():
            return []
        wanted = {"model": model, "target": target, "recipe": recipe, "device": device}
        with self._locked(), self._index() as index:
            entries = index.latest({key: value for key, value in wanted.items() if value})
            return [self._read(entry) for entry in entries]

    def _read(self, entry: Entry) -> Record:
        with self.path.open("rb") as file:
            file.seek(entry.offset)
            return msgspec.json.decode(file.read(entry.length), type=Record)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among all processes; the kernel frees a dead one's lock."""
        with (self.folder / "records.lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _index(self) -> Iterator[Index]:
        """The index, in step with the file."""
        with Index.opened(self.folder / "index.sqlite", self.path) as index:
            self._catch_up(index)
            yield index

    def _catch_up(self, index: Index) -> None:
        """Enter the lines that were written after the last one in the index."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(index.covered)
            offset = index.covered
            for line in file:
                if not line.endswith(b"\n"):
                    index.ends_torn = True
                    _log.warning("%s ends in a truncated line, which is left out", self.path)
                    break
                entry = _entry(line, offset, self.path)
                if entry and not index.add(entry):
                    _log.warning("%s holds %r twice: first one used", self.path, entry.record_id)
                offset += len(line)
            else:
                index.ends_torn = False
            index.commit(offset)


def _entry(line: bytes, offset: int, path: Path) -> Entry | None:
    """The index entry of one line; None, with a warning, for a line that is no record."""
    if not line.strip():
        return None
    try:
        head = msgspec.json.decode(line, type=_Head)
        if head.schema_version <= SCHEMA_VERSION:
            msgspec.json.decode(line, type=Record)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _log.warning("%s: the line at byte %d is left out: %s", path, offset, error)
        return None
    if head.schema_version > SCHEMA_VERSION:
        _log.warning("%s: record %r is left out: a newer edgepose wrote it", path, head.record_id)
        return None
    return Entry(
        record_id=head.record_id,
        model=head.model,
        target=head.target,
        recipe=head.recipe,
        device=head.device,
        threads=head.threads,
        offset=offset,
        length=len(line),
    )


def _write(descriptor: int, data: bytes) -> None:
    """All of ``data``: one call to the system writes less where the disk is nearly full."""
    while data:
        data = data[os.write(descriptor, data) :]
