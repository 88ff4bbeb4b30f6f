"""``edgepose serve`` as users start it."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepose.deadline import Deadline

_ADDRESS = re.compile(r"http://[^/]+:(\d+)/")


@dataclass(frozen=True, eq=False)
class Served:
    """A running server; ``folder`` is its place for temporary files."""

    process: subprocess.Popen[str]
    port: int
    folder: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def left_files(self) -> list[Path]:
        """What it has been sent and still keeps."""
        return [  # not by a glob, which stumbles over folders that are being removed
            Path(folder, name)
            for place in self.folder.glob("edgepose-serve-*")
            for folder, _, names in os.walk(place)
            for name in names
        ]


@contextmanager
def running_server(folder: Path, *words: Any) -> Iterator[Served]:
    """``edgepose serve WORDS --port 0`` in ``folder``, stopped in the end."""
    temporary = folder / "temporary"
    temporary.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "edgepose.cli.main", "serve", *map(str, words), "--port", "0"]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            assert process.stdout is not None
            found = _ADDRESS.search(process.stdout.readline())
            assert found, f"the server said no address, exit code {process.wait(10)}"
            yield Served(process, int(found[1]), temporary)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def until(condition: Any, patience_s: float = 60) -> Any:
    """What ``condition()`` gives as soon as it is true."""
    deadline = Deadline.after(patience_s)
    while not (value := condition()):
        assert not deadline.expired, f"waited {patience_s} s in vain"
        time.sleep(0.1)
    return value
