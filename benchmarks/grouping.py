"""What grouping costs: LitePose's and HigherHRNet's way, and edgepose's two.

``python -m benchmarks.grouping`` from the repository's root; see benchmarks/README.md.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

import cv2
import numpy as np

from benchmarks.crowd import INPUT, JOINTS, Crowd, crowd, truth_of
from benchmarks.patience import Patience
from benchmarks.peers import plain_grouping
from benchmarks.ratio import paired_ratio
from benchmarks.results_file import circumstances, write_results
from edgepose.evaluate.oks_score import score_oks
from edgepose.evaluate.results import Result
from edgepose.pose.decode.associative import people_in
from edgepose.pose.decode.grouping import People, group, joint_order
from edgepose.pose.decode.grouping_fast import group_fast

_LITEPOSE, _HIGHERHRNET = "LitePose, transcribed", "HigherHRNet, transcribed"
_EXACT, _EXACT_ALL, _FAST = "exact", "exact, with enlarging", "fast, with enlarging"
_SPEEDUP = 20.0  # exact, of LitePose's
_MOST_MS = {1: 5.0, 5: 5.0, 30: 20.0}  # fast, on a quiet core
_MOST_PX, _MOST_AP = 0.5, 0.002  # fast, off exact
_HEADERS = ("people", "what", "ms", "best ms", "LitePose / this", "HigherHRNet / this", "limit")


@dataclass(frozen=True)
class Cost:
    """One way's blocks in the order of the rounds: the mean time of a call."""

    people: int
    name: str
    blocks_ns: tuple[float, ...]

    @property
    def ms(self) -> float:
        return median(self.blocks_ns) / 1e6


@dataclass(frozen=True)
class Likeness:
    """How far the fast way is off the exact one; AP 0..1 of both on the same made-up images.

    ``same_number`` counts the images in which both find as many people; ``mean_px`` is of these.
    """

    images: int
    people: int
    mean_px: float
    same_number: int
    ap_exact: float
    ap_fast: float


def main() -> int:
    """Returns 0 where every figure is within its limit."""
    import torch

    arguments = _arguments()
    found = circumstances()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    patience = Patience(arguments.patience)
    costs = [cost for people in _MOST_MS for cost in _race(people, arguments, patience)]
    like = _likeness(arguments.images)
    verdicts = [*(_verdict(cost, costs) for cost in costs), _holds(_is_alike(like))]
    notes = [
        f"One {INPUT}x{INPUT} result of {JOINTS} joints, {arguments.rounds} rounds; in each, every "
        "way in random order. ms: the median of the rounds; best ms: the fastest one. Ratios are "
        "paired by round, with their 95 % t-interval. OpenCV and torch have one thread.",
        "The transcriptions and `exact` get heatmaps and tags that are enlarged to the input's "
        "size already; the others get the net's own outputs.",
        f"Limits: exact at least {_SPEEDUP:g} times as fast as LitePose, fast at most "
        + ", ".join(f"{most:g} ms for {people}" for people, most in _MOST_MS.items())
        + ".",
        f"Fast beside exact, {like.people} people in {like.images} made-up images: joints "
        f"{like.mean_px:.3f} px apart in the mean (at most {_MOST_PX:g}), "
        f"the same number of people in {like.same_number} of them, "
        f"AP {like.ap_exact:.4f} and {like.ap_fast:.4f} (at most {_MOST_AP:g} apart): "
        f"{_holds(_is_alike(like))}.",
        f"{patience}.",
    ]
    data = {"costs": [asdict(cost) for cost in costs], "likeness": asdict(like)}
    rows = [_row(cost, costs) for cost in costs]
    write_results("grouping", found, data, _HEADERS, rows, notes)
    return int("BROKEN" in verdicts)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--block", type=float, default=0.05, help="least seconds of one block")
    parser.add_argument("--images", type=int, default=40, help="on which fast and exact compare")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--patience", type=float, default=60.0, help="seconds to wait for an idle machine, in all"
    )
    return parser.parse_args()


def _ways(scene: Crowd) -> Mapping[str, Callable[[], object]]:
    maps, tags = scene.enlarged()
    order = joint_order(JOINTS)
    outputs = (scene.out0, scene.out1)
    return {
        _LITEPOSE: lambda: plain_grouping.group(maps, tags, order, plain_grouping.as_litepose),
        _HIGHERHRNET: lambda: plain_grouping.group(maps, tags, order),
        _EXACT: lambda: group(maps, tags),
        _EXACT_ALL: lambda: people_in(outputs, JOINTS, exact=True),
        _FAST: lambda: people_in(outputs, JOINTS),
    }


def _race(people: int, arguments: argparse.Namespace, patience: Patience) -> list[Cost]:
    ways = _ways(crowd(people, arguments.seed))
    order, blocks = list(ways), {name: [] for name in ways}
    shuffle = random.Random(arguments.seed).shuffle
    for _ in range(arguments.rounds):
        shuffle(order)
        patience.wait()
        for name in order:
            blocks[name].append(_block_ns(ways[name], arguments.block))
    return [Cost(people, name, tuple(blocks[name])) for name in ways]


def _block_ns(way: Callable[[], object], seconds: float) -> float:
    """Mean of the calls in a block, after one that is not counted."""
    way()
    count, start = 0, time.perf_counter_ns()
    while (elapsed := time.perf_counter_ns() - start) < seconds * 1e9 or count == 0:
        way()
        count += 1
    return elapsed / count


def _likeness(images: int) -> Likeness:
    crowds = [crowd(1 + seed % 12, seed) for seed in range(images)]
    exact = [group(*each.enlarged()) for each in crowds]
    fast = [group_fast(each.out0, each.out1, JOINTS) for each in crowds]
    pairs = list(zip(exact, fast, strict=True))
    alike = [(a, b) for a, b in pairs if len(a.scores) == len(b.scores)]
    apart = [np.linalg.norm(a.points - b.points, axis=-1).ravel() for a, b in alike]
    truth = truth_of(crowds)
    ap_exact, ap_fast = (
        score_oks(truth, {image: _results(each) for image, each in enumerate(people)})["all"]["AP"]
        for people in (exact, fast)
    )
    return Likeness(
        images,
        sum(len(each.joints) for each in crowds),
        float(np.concatenate(apart).mean()),
        len(alike),
        ap_exact or 0.0,
        ap_fast or 0.0,
    )


def _results(people: People) -> list[Result]:
    return [
        Result(1, float(score), np.column_stack([points, values]).ravel().tolist())
        for points, values, score in zip(people.points, people.values, people.scores, strict=True)
    ]


def _is_alike(like: Likeness) -> bool:
    return like.mean_px <= _MOST_PX and abs(like.ap_exact - like.ap_fast) <= _MOST_AP


def _holds(is_within: bool) -> str:
    return "holds" if is_within else "BROKEN"


def _of(costs: Sequence[Cost], people: int, name: str) -> Cost:
    return next(cost for cost in costs if (cost.people, cost.name) == (people, name))


def _ratio(cost: Cost, costs: Sequence[Cost], base: str) -> tuple[float, str]:
    first = _of(costs, cost.people, base)
    if first is cost:
        return 1.0, "1"
    ratio = paired_ratio("", "", first.blocks_ns, cost.blocks_ns, 1.0)
    return ratio.ratio, f"{ratio.ratio:.3g} ({ratio.low:.3g} to {ratio.high:.3g})"


def _verdict(cost: Cost, costs: Sequence[Cost]) -> str:
    if cost.name == _EXACT:
        return _holds(_ratio(cost, costs, _LITEPOSE)[0] >= _SPEEDUP)
    if cost.name == _FAST:
        return _holds(cost.ms <= _MOST_MS[cost.people])
    return "-"


def _row(cost: Cost, costs: Sequence[Cost]) -> list[str]:
    return [
        str(cost.people),
        cost.name,
        f"{cost.ms:.1f}",
        f"{min(cost.blocks_ns) / 1e6:.1f}",
        *(_ratio(cost, costs, base)[1] for base in (_LITEPOSE, _HIGHERHRNET)),
        _verdict(cost, costs),
    ]


if __name__ == "__main__":
    sys.exit(main())
