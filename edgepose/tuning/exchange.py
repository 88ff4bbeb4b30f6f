"""Databases as single files, to be shared: exported, looked at, merged into one's own."""

import io
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from edgepose.engines.tvm.record_lines import (
    FILES,
    RecordLines,
    mend,
    merge,
    read_lines,
    thin,
    write_lines,
)
from edgepose.engines.tvm.records import (
    ABOUT,
    About,
    Records,
    read_about,
    records_folder,
    sole_writer,
    tvm_version,
    write_about,
)
from edgepose.errors import RecordsError
from edgepose.files import write_atomic

_MAX_BYTES = 1 << 30  # a database is a few megabytes; what unpacks to more is none


def export_records(records: Records, file: Path, keep: int | None = None) -> About:
    """Write the database, or the ``keep`` best trials of each task, into ``file`` (a zip).

    Raises RecordsError where it holds no success.
    """
    lines = read_lines(records.folder)
    if keep:
        lines = thin(lines, keep)
    about = sealed(records.about, lines)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_database(folder, about, lines)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in (ABOUT, *FILES):
                archive.writestr(name, (folder / name).read_bytes())
    write_atomic(file, packed.getvalue())
    return about


def import_records(file: Path, graph_hash: str | None = None) -> tuple[About, int]:
    """Merge the database in ``file`` into the user's own; returns it and how many trials were new.

    Raises RecordsError for a file that is damaged, of another TVM version, of another graph than
    ``graph_hash`` (where given), or without one success; UsageError while a tuning writes there.
    """
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _unpack(file, folder)
        about, lines = read_about(folder), read_lines(folder)
    if about.sha256 != lines.sha256:
        raise _refused(file, "its records are not those that it speaks of: it was altered or cut")
    if about.tvm_version != tvm_version():
        raise _refused(
            file, f"its records are of TVM {about.tvm_version}, this is TVM {tvm_version()}"
        )
    if graph_hash is not None and about.graph_hash != graph_hash:
        raise _refused(file, f"its records are of another graph ({about.model})")
    sealed(about, lines)
    place = records_folder(about.graph_hash, about.targets[0], about.origin)
    with sole_writer(place):
        own = mend(place) if (place / ABOUT).is_file() else RecordLines((), ())
        merged = merge(own, lines)
        if own.trials:
            about = _together(read_about(place), about)
        about = sealed(about, merged)
        write_database(place, about, merged)
    return about, len(merged.trials) - len(own.trials)


def sealed(about: About, lines: RecordLines) -> About:
    """``about`` with the figures of ``lines``. Raises RecordsError where these hold no success."""
    if len(lines.trials) == lines.failed:
        raise RecordsError(
            f"the {len(lines.trials)} records of {about.model} hold no success",
            hint="Tune again; if every trial fails, see what `edgepose tune` says of the failures.",
        )
    return msgspec.structs.replace(
        about, trials=len(lines.trials), failed=lines.failed, sha256=lines.sha256
    )


def write_database(folder: Path, about: About, lines: RecordLines) -> None:
    write_lines(lines, folder)
    write_about(folder, about)


def _together(own: About, other: About) -> About:
    """What is true of both databases."""
    return msgspec.structs.replace(
        own,
        targets=_union(own.targets, other.targets),
        devices=_union(own.devices, other.devices),
        emulated=own.emulated or other.emulated,
    )


def _union(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def _unpack(file: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
            if set(sizes) != {ABOUT, *FILES} or sum(sizes.values()) > _MAX_BYTES:
                raise _refused(file, "it is a zip file, but not one that edgepose exported")
            for name in sizes:
                (folder / name).write_bytes(archive.read(name))
    except OSError as error:
        raise _refused(file, f"it cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise _refused(file, f"it is no whole zip file: {error}") from None


def _refused(file: Path, why: str) -> RecordsError:
    return RecordsError(
        f"{file} is not imported: {why}",
        hint="Export it again with `edgepose tune export`, from the same TVM version.",
    )
