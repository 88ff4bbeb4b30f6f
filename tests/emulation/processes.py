"""Looking at process trees from the host, through /proc."""

import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One process: its pid on the host, its parent's and the name of its program."""

    pid: int
    parent: int
    name: str


def processes() -> list[Process]:
    """Every process there is now, zombies left out."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_text()
        except OSError:  # it ended meanwhile
            continue
        # the name is in parentheses and may itself hold spaces and parentheses
        head, _, tail = stat.rpartition(")")
        state, parent, *_ = tail.split()
        if state != "Z":
            found.append(Process(int(folder.name), int(parent), head.partition("(")[2]))
    return found


def descendants(pid: int) -> list[Process]:
    """The processes below `pid`.

    In a pid namespace an orphan's new parent is the namespace's init, so from there nothing is
    missed. (Asking for the namespace itself is refused to a normal user for sshd's processes.)
    """
    children: dict[int, list[Process]] = {}
    for process in processes():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += [process.pid for process in below]
    return found


def command_line(process: Process) -> list[bytes]:
    """Its words; a single empty one where it ended meanwhile."""
    try:
        words = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    except OSError:
        return [b""]
    return words.rstrip(b"\0").split(b"\0")


def kill(pids: Iterable[int]) -> None:
    """Send SIGKILL; who is gone already is fine."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def wait_until_gone(pids: Iterable[int], seconds: float = 5.0) -> None:
    """Wait until none of these processes runs any more."""
    waited = set(pids)
    end = time.monotonic() + seconds
    while waited & {process.pid for process in processes()}:
        if time.monotonic() > end:
            raise TimeoutError(f"still running after {seconds} s: {sorted(waited)}")
        time.sleep(0.01)
