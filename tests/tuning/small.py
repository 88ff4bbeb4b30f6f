"""A real tuning that takes seconds: a net of a few tasks, rounds of two candidates."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import edgepose
from edgepose.tuning.settings import SearchSettings

ROOT = Path(edgepose.__file__).parent.parent
SETTINGS = SearchSettings(
    round_size=2,
    population=8,
    min_unmeasured=4,
    generations=1,
    repeats=1,
    min_repeat_ms=1,
    unroll_steps=(0, 16),
)
_CODE = """
import sys
from edgepose.tuning.session import tune
from tests.tuning.small import SETTINGS
tune(sys.argv[1], trials=int(sys.argv[2]), settings=SETTINGS)
"""


@contextmanager
def tuning(net: Path, trials: int) -> Iterator[subprocess.Popen[bytes]]:
    """``tune`` in a process of its own, which is killed at the end of the block."""
    words = [sys.executable, "-c", _CODE, str(net), str(trials)]
    # A killed one leaves its scratch folder behind.
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(net.parent)}
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def processes_of(folder: Path) -> dict[int, str]:
    """Processes whose words or environment speak of ``folder``: number → command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes()
            if str(folder).encode() in words + (entry / "environ").read_bytes():
                found[int(entry.name)] = words.replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has just ended
            continue
    return found


def kill(number: int) -> None:
    os.kill(number, signal.SIGKILL)
