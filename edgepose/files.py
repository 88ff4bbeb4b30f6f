"""Atomic writes and content hashes: the only way edgepose puts files on disk."""

import errno
import fcntl
import hashlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def sha256_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write to a temporary name beside ``path``, flush to disk, then rename over it."""
    temporary = temporary_beside(path)
    try:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
        take_place(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporary_beside(path: Path) -> Path:
    """An empty file with a hidden name in the folder of ``path``, which is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    umask = os.umask(0)
    os.umask(umask)
    Path(temporary).chmod(0o666 & ~umask)
    return Path(temporary)


def take_place(temporary: Path, path: Path) -> None:
    """Flush the closed file ``temporary`` to disk and rename it over ``path``."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def append_line(path: Path, line: bytes) -> None:
    """Add ``line`` to the end of ``path`` and to the disk, alone among all processes.

    The half line of a killed writer stays, on a line of its own.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the kernel frees a dead one's
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        torn = file.read(1) not in (b"", b"\n")
        file.write((b"\n" if torn else b"") + line + b"\n")
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def folder_atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``path`` when the block ends without an error.

    An existing ``path`` stays untouched until then, and is replaced by two renames. Of several
    processes that make the same ``path``, the last one wins.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    temporary.chmod(0o755)
    try:
        yield temporary
        _replace_folder(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace_folder(new: Path, path: Path) -> None:
    old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
    try:
        for number in itertools.count():
            try:
                new.rename(path)  # succeeds where nothing, or an empty folder, is
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            with suppress(FileNotFoundError):  # another process was faster
                path.rename(old / str(number))
    finally:
        shutil.rmtree(old, ignore_errors=True)
