"""What was found in each image, written down at once: a killed evaluation goes on from there."""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from edgepose.errors import UsageError
from edgepose.evaluate.results import Result

_log = logging.getLogger(__name__)


class Found(msgspec.Struct, frozen=True, array_like=True):
    """One line: the results in an image file with this hash, and the precision they came of."""

    image_id: int
    image_sha256: str
    results: list[Result]
    computed_in: str | None = None


class Journal:
    """Lines of JSON in one file; ``known`` holds what was in it when it was opened."""

    def __init__(self, file: BinaryIO, known: dict[int, Found]) -> None:
        self._file, self.known = file, known

    @staticmethod
    @contextmanager
    def opened(path: Path) -> Iterator["Journal"]:
        """Read and hold the file, which is made where it is missing.

        Raises UsageError while another process holds it.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel frees a dead one's
            except BlockingIOError:
                raise UsageError(
                    "this very evaluation is under way in another process", hint="Wait for it."
                ) from None
            yield Journal(file, _read(file, path))

    def add(self, found: Found) -> None:
        """Hand a line to the system, which keeps it even if this process is killed."""
        self._file.write(msgspec.json.encode(found) + b"\n")
        self._file.flush()


def _read(file: BinaryIO, path: Path) -> dict[int, Found]:
    """The lines of ``file``; half a line of a killed writer is cut off."""
    file.seek(0)
    known: dict[int, Found] = {}
    decoder = msgspec.json.Decoder(Found)
    whole = 0
    for line in file:
        try:
            found = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if line.endswith(b"\n"):
                _log.warning("%s: the line at byte %d is left out: %s", path, whole, error)
        else:
            known[found.image_id] = found
        whole += len(line) if line.endswith(b"\n") else 0
    file.truncate(whole)
    return known
