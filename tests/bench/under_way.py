"""Watch a measurement on this machine from outside, and disturb it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from edgepose.bundle import Bundle
from edgepose.places import user_cache

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
_COMMAND = """
import sys
from edgepose import bench, load_bundle
bench(load_bundle(sys.argv[1]), profile=sys.argv[2], budget_s=float(sys.argv[3]))
"""


def bench_elsewhere(bundle: Bundle, profile: str, budget_s: float) -> "subprocess.Popen[bytes]":
    """Start ``bench`` in a process of its own, in this folder and with this environment."""
    words = [str(bundle.folder), profile, str(budget_s)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", _COMMAND, *words], env=environment)


def runs() -> Path:
    """Where the runs on this machine have their folders."""
    return user_cache() / "device" / "runs"


def pending() -> list[Path]:
    """What this host remembers of measurements under way."""
    return list((user_cache() / "pending").glob("*"))


def wait_for(find: Callable[[], T | None], seconds: float = 30.0) -> T:
    """What ``find`` returns as soon as it is something."""
    end = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return found


def runner_of(name: str) -> int | None:
    """The process id of the runner of the run ``…-<name>``; None where there is none."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        except OSError:
            continue
        last = Path(os.fsdecode(words[-1]))
        # While it is being started, its words are those of `setsid` and `sh` still.
        is_python = b"python" in words[0]
        if is_python and last.parent == runs() and last.name.endswith(f"-{name}"):
            return int(folder.name)
    return None


def result_of(name: str) -> Path | None:
    """The result file of the run ``…-<name>`` once it has its header."""
    for path in runs().glob(f"*-{name}/result.jsonl"):
        if b"\n" in path.read_bytes():
            return path
    return None


def is_whole(path: Path | None) -> Path | None:
    """``path`` if the result there has its footer."""
    return path if path and b'"kind": "footer"' in path.read_bytes() else None


def samples_in(result: Path) -> tuple[int, ...]:
    lines = map(json.loads, result.read_bytes().splitlines())
    return next(tuple(line["ns"]) for line in lines if line["kind"] == "samples")
