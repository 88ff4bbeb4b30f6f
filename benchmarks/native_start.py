"""What the native runner weighs, and how long it takes from its start to the first inference.

``python -m benchmarks.native_start`` from the repository's root; see benchmarks/README.md.
"""

import argparse
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from benchmarks.results_file import circumstances, write_results
from edgepose.build import build
from edgepose.bundle import Bundle, make_plan
from edgepose.runners.native_ncnn import ncnn_runner

_LIMIT_MS, _LIMIT_MIB = 100.0, 3.0
_HEADERS = ("what", "min", "median", "max", "limit", "verdict")


@dataclass(frozen=True)
class Figure:
    """``limit`` None: told for information, not judged."""

    what: str
    unit: str
    values: tuple[float, ...]
    limit: float | None

    @property
    def verdict(self) -> str:
        if self.limit is None:
            return "-"
        return "holds" if median(self.values) <= self.limit else "BROKEN"


def main() -> int:
    """Returns 0 where every median is within its limit."""
    arguments = _arguments()
    found = circumstances()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        bundle = build(arguments.model, "host", "ncnn-fp32", into=folder / "bundle")
        (folder / "run").mkdir()
        _once(bundle, folder / "run")  # what it reads is in memory then
        starts = tuple(_once(bundle, folder / "run") for _ in range(arguments.runs))
    figures = [
        Figure(f"start to first inference, {arguments.model}", "ms", starts, _LIMIT_MS),
        Figure("executable for aarch64, stripped", "MiB", (_size_mib("aarch64"),), _LIMIT_MIB),
        Figure("executable for this host", "MiB", (_size_mib(platform.machine()),), None),
    ]
    notes = [
        "Start to first inference: wall time of whole processes whose plan asks for one inference "
        "and none timed: the executable's start, the hashes of the files that it reads, the load, "
        "the inference, the result. Files in the page cache, one thread, not pinned.",
    ]
    data = {"figures": [asdict(figure) for figure in figures]}
    rows = [_row(figure) for figure in figures]
    write_results("native_start", found, data, _HEADERS, rows, notes)
    return int(any(figure.verdict == "BROKEN" for figure in figures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="litepose-xs", help="a zoo name")
    parser.add_argument("--runs", type=int, default=21, help="processes")
    return parser.parse_args()


def _once(bundle: Bundle, folder: Path) -> float:
    """Milliseconds of one process."""
    paths = {name: str(bundle.folder / name) for name in bundle.manifest.files}
    plan = make_plan(bundle.manifest, "time", "start", paths)
    (folder / "plan.json").write_bytes(plan.encode())
    start = time.perf_counter()
    subprocess.run([paths[bundle.manifest.runner], str(folder)], check=True)
    return (time.perf_counter() - start) * 1e3


def _size_mib(arch: str) -> float:
    return ncnn_runner(arch).stat().st_size / 2**20


def _row(figure: Figure) -> list[str]:
    ends = (min(figure.values), median(figure.values), max(figure.values))
    limit = "-" if figure.limit is None else f"{figure.limit:g} {figure.unit}"
    return [figure.what, *(f"{value:.2f} {figure.unit}" for value in ends), limit, figure.verdict]


if __name__ == "__main__":
    sys.exit(main())
