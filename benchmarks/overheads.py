"""What edgepose itself costs: the time of whole commands, beside what was asked of them.

``python -m benchmarks.overheads`` from the repository's root; see benchmarks/README.md.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from benchmarks.results_file import circumstances, write_results
from edgepose.errors import RunError

_EDGEPOSE = [sys.executable, "-m", "edgepose.cli.main"]
_SCRIPT = Path(sys.executable).with_name("edgepose")


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """Seconds of ``runs`` runs in fresh processes; the median must be below ``limit_s``."""

    what: str
    limit_s: float
    seconds: tuple[float, ...]

    @property
    def verdict(self) -> str:
        return "holds" if median(self.seconds) < self.limit_s else "BROKEN"


def main() -> int:
    """Returns 0 where every median is below its limit and no cached command imports torch."""
    arguments = _arguments()
    found = circumstances()
    model = arguments.model
    with tempfile.TemporaryDirectory() as scratch:
        place = _Place(Path(scratch))
        build = ["build", model, "--target", "host"]
        bench = ["bench", model, "--profile", "paper", "--json"]
        place.run(build)  # fills the cache
        place.run(bench)  # sends the bundle to the device's cache
        overheads = [
            _overhead("edgepose --help", 0.3, arguments.runs, lambda: place.run(["--help"])[0]),
            _overhead("cached build", 1.0, arguments.runs, lambda: place.run(build)[0]),
            _overhead(
                "bench, paper profile, beyond its inferences",
                3.0,
                arguments.runs,
                lambda: _beyond_inferences(*place.run(bench)),
            ),
        ]
        torch = place.modules(build, "torch")
    notes = [
        f"Whole processes of the console script, model {model}, caches warm. Bench: the command's "
        "wall time less all warm-up and timed latencies in its record.",
        "A cached build imports " + (f"{', '.join(torch)}: BROKEN." if torch else "no torch."),
    ]
    data = {"overheads": [asdict(overhead) for overhead in overheads], "torch_modules": torch}
    rows = [_row(overhead) for overhead in overheads]
    write_results("overheads", found, data, _HEADERS, rows, notes)
    return int(bool(torch) or any(overhead.verdict == "BROKEN" for overhead in overheads))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="litepose-xs", help="a zoo name")
    parser.add_argument("--runs", type=int, default=7, help="of each command")
    return parser.parse_args()


class _Place:
    """A working folder, a cache and a configuration of our own: no one else's lease or files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        own = {name: str(folder / name.lower()) for name in ("EDGEPOSE_CACHE", "EDGEPOSE_CONFIG")}
        self._environment = {**os.environ, **own}

    def run(self, words: list[str]) -> tuple[float, str]:
        """Wall seconds and stdout of ``edgepose`` with ``words``."""
        start = time.perf_counter()
        done = self._process([str(_SCRIPT), *words])
        return time.perf_counter() - start, done.stdout

    def modules(self, words: list[str], top: str) -> list[str]:
        """Those of the package ``top`` that ``edgepose`` with ``words`` imports."""
        done = self._process([sys.executable, "-X", "importtime", *_EDGEPOSE[1:], *words])
        names = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines()]
        return sorted({name for name in names if name.partition(".")[0] == top})

    def _process(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            words, cwd=self._folder, env=self._environment, capture_output=True, text=True
        )
        if done.returncode not in (0, RunError.exit_code):  # a refused record is a record, too
            raise RuntimeError(f"`{' '.join(words)}` failed:\n{done.stdout[-500:]}{done.stderr}")
        return done


def _overhead(what: str, limit_s: float, runs: int, once: Callable[[], float]) -> Overhead:
    return Overhead(what=what, limit_s=limit_s, seconds=tuple(once() for _ in range(runs)))


def _beyond_inferences(wall_s: float, output: str) -> float:
    [record] = json.loads(output)
    spent = sum(sum(run["warmup_ns"]) + sum(run["samples_ns"]) for run in record["runs"])
    return wall_s - spent / 1e9


_HEADERS = ("what", "min", "median", "max", "limit", "verdict", "runs")


def _row(overhead: Overhead) -> list[str]:
    seconds = overhead.seconds
    figures = [f"{value:.2f} s" for value in (min(seconds), median(seconds), max(seconds))]
    limit = f"{overhead.limit_s:g} s"
    return [overhead.what, *figures, limit, overhead.verdict, str(len(seconds))]


if __name__ == "__main__":
    sys.exit(main())
