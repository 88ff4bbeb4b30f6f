"""The Transport protocol: the only way anything touches a device."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgepose.deadline import Deadline


@dataclass(frozen=True)
class Completed:
    """A finished command; ``returncode`` is 128 or more, or -1, where it was killed or lost."""

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text, without the trailing newline."""
        return self.stdout.decode(errors="replace").rstrip("\n")


class Channel(Protocol):
    """A program on the device whose input and output are one stream of bytes.

    One thread may read while another writes; ``close`` may be called from any, and ends both.
    """

    def read(self, max_bytes: int) -> bytes:
        """Wait for output, at most ``max_bytes`` of it; empty at its end and after ``close``.

        Raises UnreachableError where the link died first.
        """
        ...

    def write(self, data: bytes) -> None:
        """Hand all of ``data`` to the program. Raises DeviceError where it does not read any more,
        and UnreachableError where the link died.
        """
        ...

    def end_input(self) -> None:
        """Let the program read the end of its input; its output can still be read."""
        ...

    def returncode(self, deadline: Deadline) -> int | None:
        """The program's exit status as in ``Completed``; None while it runs, or if unknown."""
        ...

    def stderr_tail(self) -> str:
        """The last of what it said on standard error."""
        ...

    def close(self) -> None:
        """Kill the program, where it still runs and the link still stands."""
        ...


class Transport(Protocol):
    """Local, ssh and adb pass one and the same contract test.

    Every call raises UnreachableError when the device does not answer within the deadline or the
    link dies; paths on the device are absolute POSIX paths.
    """

    def run(self, argv: Sequence[str], deadline: Deadline) -> Completed:
        """Run to completion with an empty input; a non-zero exit status is returned, not raised.

        As from a shell: 127 for a command that does not exist, 126 for one that cannot start.
        """
        ...

    def start(self, argv: Sequence[str], log: str, deadline: Deadline) -> int:
        """Start detached in a session of its own, output to ``log``; returns its process id."""
        ...

    def open(self, argv: Sequence[str], deadline: Deadline) -> Channel:
        """Start a program whose life ends with the channel's; the deadline is for its start.

        Raises DeviceError where it cannot start, or where the transport cannot carry a stream.
        """
        ...

    def put(self, source: Path, destination: str, deadline: Deadline) -> None:
        """Upload a file under a temporary name and rename it over ``destination``.

        Its folder must exist; permission bits are kept.
        Raises DeviceFullError where the device has no room; nothing is left behind then.
        """
        ...

    def get(self, source: str, destination: Path, deadline: Deadline) -> None:
        """Download a file. Raises DeviceError where it does not exist."""
        ...

    def close(self) -> None: ...
