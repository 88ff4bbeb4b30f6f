"""TVM's two files of tuning records as data: read, mended, merged, thinned, written. No tvm here.

``database_workload.json`` has a line ``["hash", "module"]`` per task, and
``database_tuning_record.json`` a line ``[workload's number, [trace, run times in s, TVM's target,
arguments]]`` per trial.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any
from zipfile import Path as ZipPath

import msgspec

from edgepose.errors import RecordsError
from edgepose.files import sha256_bytes, write_atomic

WORKLOADS, TRIALS = "database_workload.json", "database_tuning_record.json"
FILES = (WORKLOADS, TRIALS)
Folder = Path | ZipPath  # a database at rest may be one zip file
FAILED_S = 1e9  # TVM writes 1e10 where a trial failed; nothing takes 30 years
_log = logging.getLogger(__name__)


class _Body(msgspec.Struct, array_like=True, frozen=True):
    """The second half of a trial's line; what we need not understand stays as it is."""

    trace: msgspec.Raw
    run_secs: list[float] | None
    target: msgspec.Raw
    arguments: msgspec.Raw


@dataclass(frozen=True)
class Trial:
    """One measured candidate of the workload with this number; ``seconds`` None where it failed."""

    workload: int
    seconds: float | None
    trace: bytes
    body: bytes

    @property
    def key(self) -> str:
        """The same for the same schedule of the same task."""
        return trial_key(self.trace)


@dataclass(frozen=True)
class RecordLines:
    """Both files: each workload's line as it stands, and the trials in the order of measuring."""

    workloads: tuple[bytes, ...]
    trials: tuple[Trial, ...]

    @property
    def failed(self) -> int:
        return sum(trial.seconds is None for trial in self.trials)

    @property
    def sha256(self) -> str:
        """Hash of the content, whatever order the tasks came in."""
        rows = sorted(self.workloads[trial.workload] + trial.body for trial in self.trials)
        return sha256_bytes(b"\n".join(rows))


def trial_key(trace: bytes) -> str:
    """A short name of a schedule: of its trace as JSON, however it is spaced."""
    return sha256_bytes(msgspec.json.encode(msgspec.json.decode(trace)))[:16]


def workload_hash(line: bytes) -> str:
    """TVM's structural hash of the workload in ``line``."""
    return msgspec.json.decode(line, type=tuple[str, msgspec.Raw])[0]


def read_lines(folder: Folder) -> RecordLines:
    """Read the two files in ``folder``; a line that is still being written does not count.

    Raises RecordsError where a whole line is damaged.
    """
    workloads = tuple(_whole(folder / WORKLOADS))
    for number, line in enumerate(workloads, 1):
        _check(line, tuple[str, str], folder / WORKLOADS, number)
    trials = [
        _parse_trial(line, folder / TRIALS, number)
        for number, line in enumerate(_whole(folder / TRIALS), 1)
    ]
    kept = tuple(trial for trial in trials if trial.workload < len(workloads))
    return RecordLines(workloads, kept)


def mend(folder: Path) -> RecordLines:
    """Make ``folder`` fit for appending after its writer was killed; returns what it holds.

    What is cut off is half a line, and trials whose workload's line was never written.
    """
    lines = read_lines(folder)
    for name, kept in zip(FILES, _texts(lines), strict=True):
        path = folder / name
        if path.is_file() and path.read_bytes() != kept:
            _log.warning("%s: its last line was not whole and is cut off", path)
            write_atomic(path, kept)
    return lines


def write_lines(lines: RecordLines, folder: Path) -> None:
    """Write both files into ``folder``."""
    for name, text in zip(FILES, _texts(lines), strict=True):
        write_atomic(folder / name, text)


def merge(*parts: RecordLines) -> RecordLines:
    """All workloads and trials, each once: of a schedule measured twice the first one counts."""
    workloads: dict[str, tuple[int, bytes]] = {}
    trials: dict[tuple[int, str], Trial] = {}
    for part in parts:
        numbers = []
        for line in part.workloads:
            numbers.append(workloads.setdefault(workload_hash(line), (len(workloads), line))[0])
        for trial in part.trials:
            moved = Trial(numbers[trial.workload], trial.seconds, trial.trace, trial.body)
            trials.setdefault((moved.workload, moved.key), moved)
    return RecordLines(tuple(line for _, line in workloads.values()), tuple(trials.values()))


def thin(lines: RecordLines, keep: int) -> RecordLines:
    """The ``keep`` best successes of each workload, best first; workloads without one are gone."""
    succeeded = [trial for trial in lines.trials if trial.seconds is not None]
    ranked = sorted(succeeded, key=lambda trial: (trial.workload, trial.seconds, trial.body))
    places = Counter[int]()
    chosen = []
    for trial in ranked:
        places[trial.workload] += 1
        if places[trial.workload] <= keep:
            chosen.append(trial)
    numbers = {old: new for new, old in enumerate(sorted(places))}
    return RecordLines(
        tuple(lines.workloads[old] for old in numbers),
        tuple(Trial(numbers[t.workload], t.seconds, t.trace, t.body) for t in chosen),
    )


class RecordWriter:
    """Appends to the files in ``folder``; what was appended is on the disk when ``append`` returns.

    Begins by mending them. Raises RecordsError where they are damaged.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        lines = mend(folder)
        self._numbers = {workload_hash(line): n for n, line in enumerate(lines.workloads)}

    def append(self, workload: Sequence[str], record: Any) -> None:
        """Add one trial: ``["hash", "module"]`` and ``[trace, run times, target, arguments]``.

        Raises RecordsError where the disk is full; the files stay whole then.
        """
        name = workload[0]
        if name not in self._numbers:
            _append(self._folder / WORKLOADS, msgspec.json.encode(workload))
            self._numbers[name] = len(self._numbers)
        _append(self._folder / TRIALS, msgspec.json.encode([self._numbers[name], record]))


def _append(path: Path, line: bytes) -> None:
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        try:
            rest = memoryview(line + b"\n")
            while rest:  # a disk that fills up takes a part first
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError as error:
            file.truncate(size)
            raise RecordsError(
                f"{path}: a tuning record cannot be written: {error.strerror}",
                hint="Free some space and run the same command again: what was measured is kept.",
            ) from None


def _texts(lines: RecordLines) -> tuple[bytes, bytes]:
    trials = (b"[%d,%b]" % (trial.workload, trial.body) for trial in lines.trials)
    return _joined(lines.workloads), _joined(trials)


def _joined(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def _whole(path: Folder) -> list[bytes]:
    """The lines of ``path``. A last one without its end counts where it is JSON all the same."""
    if not path.is_file():
        return []
    *lines, last = path.read_bytes().split(b"\n")
    if last:
        try:
            msgspec.json.decode(last)
        except ValueError:
            return lines
        return [*lines, last]
    return lines


def _parse_trial(line: bytes, path: Folder, number: int) -> Trial:
    workload, raw = _check(line, tuple[int, msgspec.Raw], path, number)
    body = _check(bytes(raw), _Body, path, number)
    # TVM ranks by the mean as well.
    seconds = fmean(body.run_secs) if body.run_secs else FAILED_S
    return Trial(workload, seconds if seconds < FAILED_S else None, bytes(body.trace), bytes(raw))


def _check(line: bytes, kind: Any, path: Folder, number: int) -> Any:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordsError(
            f"{path}: line {number} is damaged: {error}",
            hint="Put the folder aside and tune again, or import a database that you exported.",
        ) from None
