"""Fetch a file over HTTP: resumed where it stopped, checked before it gets its name."""

import fcntl
import http.client
import logging
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from edgepose.deadline import Deadline
from edgepose.errors import DownloadError
from edgepose.files import sha256_file

_STALL_S = 30.0  # a connection that brings less than a block in this time counts as dead
_PROGRESS_S = 5.0
_BLOCK = 64 * 1024
_MIB = 2**20
_AGAIN = "Run it again: it goes on where it stopped."
_log = logging.getLogger(__name__)


def download(
    url: str, path: Path, sha256_prefix: str | None = None, *, stall_s: float = _STALL_S
) -> None:
    """Make ``path`` the content behind ``url``, unless it is there already.

    Until it is whole and its SHA-256 begins with ``sha256_prefix`` it lies beside ``path`` as
    ``.part``. Processes that want files of one folder take turns. Raises DownloadError.
    """
    with _on_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with alone_in(path.parent):
        if path.is_file() and _matches(path, sha256_prefix):
            return
        part = _Part(path)
        _receive(url, part, stall_s)
        if not _matches(part.path, sha256_prefix):
            found = sha256_file(part.path)
            part.remove()
            raise DownloadError(
                f"{url} is not the file that was published: its SHA-256 is {found[:16]}…, "
                f"not {sha256_prefix}…",
                hint="Try again; if it stays so, get the file elsewhere and import it.",
            )
        part.finish(path)


def _matches(path: Path, sha256_prefix: str | None) -> bool:
    return sha256_prefix is None or sha256_file(path).startswith(sha256_prefix.lower())


class _Part:
    """The beginning of a file, and which version of the file it is the beginning of.

    Only a server that names a version (ETag or Last-Modified) can be asked for the rest: else the
    two halves might be of two files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}.part")
        self._version = path.with_name(f"{path.name}.part-version")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() and self.version() else 0

    def version(self) -> str:
        return self._version.read_text() if self._version.is_file() else ""

    def begin(self, headers: http.client.HTTPMessage) -> None:
        tag = headers.get("ETag", "")
        strong = tag if tag.startswith('"') else ""
        self._version.write_text(strong or headers.get("Last-Modified", ""))

    def finish(self, path: Path) -> None:
        with _on_disk(path):
            with self.path.open("rb") as file:
                os.fsync(file.fileno())
            self.path.replace(path)
        self._version.unlink(missing_ok=True)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._version.unlink(missing_ok=True)


def _receive(url: str, part: _Part, stall_s: float) -> None:
    """Bring ``part`` to its full length. Raises DownloadError; what came until then stays."""
    offset = part.size()
    headers = {"User-Agent": "edgepose", "Accept-Encoding": "identity"}
    if offset:
        headers |= {"Range": f"bytes={offset}-", "If-Range": part.version()}
    try:
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=stall_s) as response:
            _save(response, part, offset, url, stall_s)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and offset:
            part.remove()  # it has no rest: what lies there is not a beginning of it
            return _receive(url, part, stall_s)
        gone = error.code in (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.GONE)
        raise DownloadError(
            f"{url} cannot be fetched: the server says {error.code} {error.reason}",
            hint="The file was moved or removed; get it elsewhere and import it."
            if gone
            else "Try again later.",
        ) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise DownloadError(
            f"{url} cannot be fetched: {reason or type(error).__name__}",
            hint=_AGAIN if part.size() else "Check the network and the proxy, then try again.",
        ) from None


def _save(
    response: http.client.HTTPResponse, part: _Part, offset: int, url: str, stall_s: float
) -> None:
    resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
    if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
        raise DownloadError(
            f"{url} cannot be fetched: the server sent another part than was wanted",
            hint="Try again later.",
        )
    received = offset if resumed else 0
    length = response.headers.get("Content-Length")
    total = received + int(length) if length else None
    _log.info("fetching %s (%s)", url, _progress(received, total))
    if total and shutil.disk_usage(part.path.parent).free < total - received:
        raise DownloadError(
            f"{part.path.parent} has no room for the {total // _MIB} MiB of {url}",
            hint="Free some space, or set EDGEPOSE_CACHE to a folder on a larger disk.",
        )
    with _on_disk(part.path):
        part.begin(response.headers)
        file = part.path.open("ab" if resumed else "wb", buffering=0)
    with file:
        received = _copy(response, file, part.path, received, total, stall_s)
    if total is not None and received < total:
        raise DownloadError(
            f"{url} broke off after {received} of {total} bytes",
            hint=_AGAIN if part.size() else "Try again.",
        )


def _copy(
    response: http.client.HTTPResponse,
    file: IO[bytes],
    path: Path,
    received: int,
    total: int | None,
    stall_s: float,
) -> int:
    """Write what comes until nothing comes; returns the file's length then."""
    stall, mark = Deadline.after(stall_s), received + _BLOCK
    report = Deadline.after(_PROGRESS_S)
    while block := response.read1(_BLOCK):
        rest = memoryview(block)
        with _on_disk(path):
            while rest:
                rest = rest[file.write(rest) :]
        received += len(block)
        if received >= mark:
            stall, mark = Deadline.after(stall_s), received + _BLOCK
        elif stall.expired:
            raise TimeoutError(f"less than {_BLOCK // 1024} KiB in {stall_s:.0f} s")
        if report.expired:
            _log.info("%s: %s", path.stem, _progress(received, total))
            report = Deadline.after(_PROGRESS_S)
    return received


def _progress(received: int, total: int | None) -> str:
    size = f" of {total / _MIB:.1f}" if total else ""
    return f"{received / _MIB:.1f}{size} MiB"


@contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    """Tell errors of the disk from those of the network."""
    try:
        yield
    except OSError as error:
        raise DownloadError(
            f"{path} cannot be written: {error.strerror}",
            hint="Free some space, or set EDGEPOSE_CACHE to another folder, and run it again.",
        ) from None


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Alone among all processes in an existing folder; the kernel frees a dead one's lock."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.info("waiting for another download into %s", folder)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
