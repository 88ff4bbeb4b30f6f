"""What scoring costs: seconds and memory of our evaluation and of pycocotools, on made-up people.

``python -m benchmarks.evaluation`` from the repository's root; see benchmarks/README.md.
"""

import argparse
import contextlib
import io
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from statistics import median
from typing import Any

from benchmarks.results_file import circumstances, write_results
from edgepose.evaluate.datasets import DATASETS
from edgepose.evaluate.oks_score import METRICS, Results, coco_results, ground_truth, score_oks
from edgepose.evaluate.truth import Truth
from tests.evaluate.synthetic import people_and_results

_LIMIT_S = 5.0  # for 1,000 results
_LIMIT_MIB = 1.5e9 / 2**20  # for as many as COCO val2017 has
_SAME = 1e-6


@dataclass(frozen=True)
class Load:
    """``found`` results for ``people`` in ``images``."""

    name: str
    images: int
    people: int
    found: int


LOADS = (
    Load("1,000 results", 400, 900, 1_000),
    Load("as COCO val2017", 5_000, 11_004, 11_004),
    Load("as COCO val2017 with a detector's boxes", 5_000, 11_004, 104_125),
)


@dataclass(frozen=True)
class Cost:
    """Of one process: CPU seconds to score, peak memory of all of it, and before scoring."""

    seconds: float
    peak_mib: float
    before_mib: float
    scores: dict[str, float | None]


def main() -> int:
    """Returns 0 where both figures hold and both programs say the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="processes of each kind (default: 3)")
    parser.add_argument("--one", nargs=2, metavar=("WAY", "LOAD"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        way, load = arguments.one
        print(json.dumps(asdict(_score_here(WAYS[way], LOADS[int(load)]))))
        return 0
    found = circumstances()
    found["versions"] |= {name: version(name) for name in ("faster-coco-eval", "pycocotools")}
    rows, costs, complaints = [], [], []
    for index, load in enumerate(LOADS):
        # In turns, so that what else the machine does strikes both alike.
        pairs = [{way: _in_process(way, index) for way in WAYS} for _ in range(arguments.rounds)]
        ours, theirs = ([pair[way] for pair in pairs] for way in WAYS)
        costs.append({"load": asdict(load), "rounds": [_plain(pair) for pair in pairs]})
        rows.append(_row(load, ours, theirs))
        complaints += _complaints(load, ours, theirs)
    notes = [
        "Median CPU seconds of scoring alone, and the largest peak of memory of a whole process, "
        "which makes the people up, too. 17 key points; one process each, in turns.",
        "Ours scores images with a single person by themselves as well; pycocotools does not here.",
        f"1,000 results in < {_LIMIT_S:g} s and COCO val2017 in < 1.5 GB, with the metrics of "
        f"pycocotools within {_SAME:g}: "
        f"{'BROKEN: ' + '; '.join(complaints) if complaints else 'holds'}.",
    ]
    write_results("evaluation", found, {"costs": costs}, _HEADERS, rows, notes)
    return int(bool(complaints))


def _ours(truth: Truth, found: Results) -> dict[str, float | None]:
    return score_oks(truth, found)["all"]


def _pycocotools(truth: Truth, found: Results) -> dict[str, float | None]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    from edgepose.evaluate.datasets import Part

    whole = Part("all", "", 0, truth.dataset.keypoints)
    listed = [image.image_id for image in truth.images]
    with contextlib.redirect_stdout(io.StringIO()):
        true = COCO()
        true.dataset = ground_truth(truth.dataset, listed, truth.people, whole)
        true.createIndex()
        evaluation = COCOeval(true, true.loadRes(coco_results(found)), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(METRICS, map(float, evaluation.stats), strict=True))


WAYS: dict[str, Callable[[Truth, Results], dict[str, float | None]]] = {
    "ours": _ours,
    "pycocotools": _pycocotools,
}


def _score_here(score: Callable[[Truth, Results], dict[str, float | None]], load: Load) -> Cost:
    extra = load.found - load.people
    truth, found = people_and_results(DATASETS["coco"], load.images, load.people, extra=extra)
    before_mib = _peak_mib()
    begun = time.process_time()
    scores = score(truth, found)
    return Cost(time.process_time() - begun, _peak_mib(), before_mib, scores)


def _in_process(way: str, load: int) -> Cost:
    words = [sys.executable, "-m", "benchmarks.evaluation", "--one", way, str(load)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return Cost(**json.loads(done.stdout))


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux


def _complaints(load: Load, ours: list[Cost], theirs: list[Cost]) -> list[str]:
    wrong = []
    for name, value in ours[0].scores.items():
        other = theirs[0].scores[name]
        if value is None or other is None or abs(value - other) > _SAME:
            wrong.append(f"{load.name}: {name} is {value}, pycocotools says {other}")
    if load.found <= 1_000 and _seconds(ours) > _LIMIT_S:
        wrong.append(f"{load.name}: {_seconds(ours):.1f} s")
    if _peak(ours) > _LIMIT_MIB:
        wrong.append(f"{load.name}: {_peak(ours):.0f} MiB")
    return wrong


def _seconds(costs: list[Cost]) -> float:
    return median(cost.seconds for cost in costs)


def _peak(costs: list[Cost]) -> float:
    return max(cost.peak_mib for cost in costs)


_HEADERS = (
    *("load", "images", "people", "results", "AP"),
    *("ours", "pycocotools", "ratio", "our peak", "its peak"),
)


def _row(load: Load, ours: list[Cost], theirs: list[Cost]) -> list[str]:
    return [
        load.name,
        *(f"{count:,}" for count in (load.images, load.people, load.found)),
        f"{ours[0].scores['AP']:.4f}",
        f"{_seconds(ours):.2f} s",
        f"{_seconds(theirs):.2f} s",
        f"{_seconds(theirs) / _seconds(ours):.1f}×",
        f"{_peak(ours):.0f} MiB",
        f"{_peak(theirs):.0f} MiB",
    ]


def _plain(pair: dict[str, Cost]) -> dict[str, Any]:
    return {way: asdict(cost) for way, cost in pair.items()}


if __name__ == "__main__":
    sys.exit(main())
