"""The SQLite index of a records file: where the line of each record lies. Derived data."""

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

_VERSION = 1
_SCHEMA = f"""
CREATE TABLE records (
    record_id TEXT PRIMARY KEY, model TEXT, target TEXT, recipe TEXT, device TEXT,
    threads INTEGER, offset INTEGER, length INTEGER
);
CREATE TABLE state (covered INTEGER, tail_sha256 TEXT);
INSERT INTO state VALUES (0, '{hashlib.sha256(b"").hexdigest()}');
PRAGMA user_version = {_VERSION};
"""
_TAIL_BYTES = 4096


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One record's key and the place of its line, in bytes."""

    record_id: str
    model: str
    target: str
    recipe: str
    device: str
    threads: int
    offset: int
    length: int


class Index:
    """Entries of the first ``covered`` bytes of a records file.

    ``ends_torn``: behind these lies a line without its end.
    """

    def __init__(self, connection: sqlite3.Connection, records: Path) -> None:
        self._connection = connection
        self._records = records
        self.ends_torn = False
        (self.covered,) = connection.execute("SELECT covered FROM state").fetchone()

    @classmethod
    @contextmanager
    def opened(cls, path: Path, records: Path) -> Iterator["Index"]:
        """The index at ``path``, empty where it is missing, damaged or that of other bytes."""
        if not _fits(path, records):
            for leftover in (path, path.with_name(f"{path.name}-journal")):
                leftover.unlink(missing_ok=True)
            with closing(sqlite3.connect(path)) as connection:
                connection.executescript(_SCHEMA)
        with closing(sqlite3.connect(path)) as connection:
            yield cls(connection, records)

    def add(self, entry: Entry) -> bool:
        """Enter one record; False where its identity is entered already."""
        values = msgspec.structs.astuple(entry)
        cursor = self._connection.execute(
            "INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values
        )
        return cursor.rowcount == 1

    def commit(self, covered: int) -> None:
        """Keep what was added: it is all there is in the first ``covered`` bytes."""
        if covered == self.covered and not self._connection.in_transaction:
            return
        state = (covered, _tail_sha256(self._records, covered))
        self._connection.execute("UPDATE state SET covered = ?, tail_sha256 = ?", state)
        self._connection.commit()
        self.covered = covered

    def find(self, record_id: str) -> Entry | None:
        rows = self._connection.execute("SELECT * FROM records WHERE record_id = ?", (record_id,))
        return next((_from_row(row) for row in rows), None)

    def latest(self, wanted: Mapping[str, str]) -> list[Entry]:
        """The last entry per (model, target, recipe, device, threads) with these values."""
        rows = self._connection.execute(
            "SELECT * FROM records WHERE offset IN (SELECT MAX(offset) FROM records"
            " GROUP BY model, target, recipe, device, threads)"
            " ORDER BY model, target, recipe, device, threads"
        )
        entries = map(_from_row, rows)
        return [e for e in entries if all(getattr(e, key) == wanted[key] for key in wanted)]


def _from_row(row: tuple[str, str, str, str, str, int, int, int]) -> Entry:
    return msgspec.convert(dict(zip(Entry.__struct_fields__, row, strict=True)), Entry)


def _fits(path: Path, records: Path) -> bool:
    """Whether ``path`` is a sound index of ``records`` as it is, or was before it grew."""
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(path)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (sound,) = connection.execute("PRAGMA quick_check").fetchone()
            if version != _VERSION or sound != "ok":
                return False
            covered, tail = connection.execute("SELECT * FROM state").fetchone()
    except (sqlite3.DatabaseError, TypeError):
        return False
    return bool(tail == _tail_sha256(records, covered))


def _tail_sha256(records: Path, covered: int) -> str:
    """Hash of the last bytes of the covered part: tells another or an altered file."""
    try:
        with records.open("rb") as file:
            start = max(0, covered - _TAIL_BYTES)
            file.seek(start)
            return hashlib.sha256(file.read(covered - start)).hexdigest()
    except FileNotFoundError:
        return hashlib.sha256(b"").hexdigest()
