"""The process behind a phone, sandboxed or not: started, told what to change, ended."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.emulation.processes import descendants, kill, wait_until_gone
from tests.emulation.requirements import EmulationError

REPOSITORY = Path(__file__).resolve().parent.parent.parent
END_SECONDS = 20.0


class Daemon:
    """The process that speaks adb, sandboxed or not, and the line to it."""

    def __init__(self, argv: Sequence[str], log: Path) -> None:
        with log.open("ab") as said:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                cwd=REPOSITORY,
                start_new_session=True,  # Ctrl-C on a terminal is for us, not for the phone
            )
        answer = self._answer()
        self.port = int(answer) if answer else 0
        if not self.port:
            self.end()

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def tell(self, **command: object) -> None:
        """Change something, see `phone_daemon`; returns when it is done."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        if not self._answer():
            raise EmulationError("the phone does not answer any more")

    def end(self) -> None:
        """Kill everything below it; it ends itself then, having seen the others go."""
        below = [process.pid for process in descendants(self.process.pid)]
        kill(below)
        try:
            self.process.communicate(timeout=END_SECONDS)
        finally:
            self.process.kill()
        wait_until_gone(below)

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def daemon_command(port: int, root: str, banner: str, enter: Sequence[str]) -> list[str]:
    """The command of a `Daemon`; ``enter`` is the phone's shell."""
    program = [sys.executable, "-m", "tests.emulation.phone_daemon"]
    return [*program, "--port", str(port), "--root", root, "--banner", banner, "--", *enter]
