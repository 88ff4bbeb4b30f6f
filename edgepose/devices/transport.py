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
