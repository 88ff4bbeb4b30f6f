"""Where tuning records lie, which are the best for a net on a target. Imports no tvm.

A database is a folder ``<graph hash>/<target>/tvm-<version>/<origin>`` with TVM's two files and
``about.json``: the user's own below the user's data, what ships with edgepose in ``tuning``, where
each folder is a zip file, a tenth of its size.
"""

import fcntl
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from zipfile import BadZipFile
from zipfile import Path as ZipPath

import msgspec

from edgepose.config import load_json
from edgepose.engines.tvm.record_lines import Folder, RecordLines, read_lines, thin, write_lines
from edgepose.errors import ConfigError, RecordsError, UsageError
from edgepose.files import write_atomic
from edgepose.fingerprint import package_version
from edgepose.places import shipped, user_data

Origin = Literal["board", "proxy"]

SCHEMA_VERSION = 1
ABOUT = "about.json"
_ORIGINS: tuple[Origin, ...] = ("board", "proxy")
_log = logging.getLogger(__name__)

# Both become names of folders, and a file to import may come from anybody.
GraphHash = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
TargetName = Annotated[str, msgspec.Meta(pattern=r"^[^./][^/]*$")]


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``about.json``. ``targets`` are all that the records serve: a proxy may serve several.

    ``block`` is the number of channels side by side that the net was lowered for; ``sha256`` that
    of the content (``RecordLines.sha256``), None while the database still grows. Where
    ``emulated``, the times were taken under emulation and say nothing of the board's.
    """

    schema_version: int = SCHEMA_VERSION
    model: str
    graph_hash: GraphHash
    targets: Annotated[tuple[TargetName, ...], msgspec.Meta(min_length=1)]
    block: int
    tvm_version: str
    origin: Origin
    trials: int
    failed: int
    devices: tuple[str, ...]
    emulated: bool = False
    created_at: str
    edgepose_version: str
    sha256: str | None = None


@dataclass(frozen=True)
class Records:
    """The best trial of each task in ``folder``; ``sha256`` is the hash of these alone."""

    folder: Folder
    about: About
    best: RecordLines
    trials: int
    failed: int

    @property
    def sha256(self) -> str:
        return self.best.sha256

    @property
    def key(self) -> str:
        """The same for records that make the same artifact and manifest; begins with the origin."""
        return f"{self.about.origin}:{self.trials}:{self.about.emulated}:{self.sha256}"

    def write(self, folder: Path) -> None:
        """Write the best trials into ``folder``, for TVM to read: the original may still grow."""
        write_lines(self.best, folder)


def tvm_version() -> str:
    """Version of the installed TVM, or an empty text."""
    return package_version("apache-tvm") or ""


def records_folder(graph_hash: str, target: str, origin: Origin, root: Path | None = None) -> Path:
    """Where the records of a net for ``target`` lie; by default among the user's own."""
    root = root or user_data() / "tuning"
    return root / graph_hash[:16] / target / f"tvm-{tvm_version()}" / origin


def best_records(
    graph_hash: str, target: str, origins: Sequence[Origin] = _ORIGINS
) -> Records | None:
    """The records to build with: the board's, the user's proxy's, the shipped proxy's, or None.

    Records of another TVM version are left aside with a notice, as is a database without one
    success. Raises RecordsError for a damaged one.
    """
    for folder in _candidates(graph_hash, target, origins):
        records = load_records(folder)
        if records.best.trials:
            return records
        if records.trials:
            _log.warning("%s holds no success, so it is not used", folder)
    return None


def tuned_on_board(model: str, target: str) -> bool:
    """Whether the user tuned a net of this name on a board of ``target``, by the TVM in use."""
    wanted = (model, tvm_version())
    for path in _databases(user_data() / "tuning", "*", "board"):
        try:
            about = read_about(_opened(path))
        except RecordsError as error:
            _log.warning("%s", error)
            continue
        if (about.model, about.tvm_version) == wanted and target in about.targets:
            return True
    return False


def all_records() -> list[Records]:
    """Every database of this host, the user's first; damaged ones are left out with a notice."""
    found = []
    for root in _roots():
        for path in _databases(root, "*", "*"):
            try:
                found.append(load_records(_opened(path)))
            except RecordsError as error:
                _log.warning("%s", error)
    return found


def load_records(folder: Folder) -> Records:
    """Read one database. Raises RecordsError where it is damaged or of another schema."""
    about = read_about(folder)
    lines = read_lines(folder)
    if about.sha256 is not None and about.sha256 != lines.sha256:
        raise RecordsError(
            f"{folder}: the tuning records are not those that {ABOUT} speaks of",
            hint="Put the folder aside and tune again, or import the database anew.",
        )
    return Records(folder, about, thin(lines, 1), len(lines.trials), lines.failed)


def read_about(folder: Folder) -> About:
    """Read ``about.json``. Raises RecordsError."""
    path = folder / ABOUT
    try:
        version = load_json(path, dict).get("schema_version")
        if version != SCHEMA_VERSION:
            raise RecordsError(
                f"{path}: schema version {version!r}, this edgepose reads {SCHEMA_VERSION}",
                hint="Use the edgepose that wrote it, or tune again.",
            )
        return load_json(path, About)
    except ConfigError as error:
        raise RecordsError(
            str(error), hint="Put the folder aside and tune again, or import the database anew."
        ) from None


def write_about(folder: Path, about: About) -> None:
    encoded = msgspec.json.format(msgspec.json.encode(about), indent=1)
    write_atomic(folder / ABOUT, encoded + b"\n")


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold the database in ``folder``. Raises UsageError where another process writes there."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another process tunes into {folder} right now",
                hint="Wait for it, or let it use several boards: `--device A,B`.",
            ) from None
        yield


def _roots() -> tuple[Path, Path]:
    return user_data() / "tuning", shipped("tuning")


def _databases(root: Path, graph: str, origin: str) -> Iterator[Path]:
    """Folders and zip files with a database, by patterns of their names."""
    for path in sorted(root.glob(f"{graph}/*/tvm-*/{origin}/{ABOUT}")):
        yield path.parent
    yield from sorted(root.glob(f"{graph}/*/tvm-*/{origin}.zip"))


def _opened(path: Path) -> Folder:
    if path.is_dir():
        return path
    try:
        return ZipPath(path)
    except (BadZipFile, OSError) as error:
        raise RecordsError(
            f"{path}: cannot be read: {error}", hint="Install edgepose again, or delete it."
        ) from None


def _candidates(graph_hash: str, target: str, origins: Sequence[Origin]) -> list[Folder]:
    """Every database that fits, best first."""
    version, others = tvm_version(), set()
    fitting: list[Folder] = []
    for origin in origins:
        for root in _roots():
            for path in _databases(root, graph_hash[:16], origin):
                folder = _opened(path)
                about = read_about(folder)
                if target not in about.targets or about.graph_hash != graph_hash:
                    continue
                if about.tvm_version == version:
                    fitting.append(folder)
                else:
                    others.add(about.tvm_version)
    if others:
        _log.warning(
            "tuning records of TVM %s for %s are left aside: this is TVM %s",
            ", ".join(sorted(others)),
            target,
            version or "nowhere",
        )
    return fitting
