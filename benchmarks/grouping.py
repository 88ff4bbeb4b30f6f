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

from benchmarks.crowd import INPUT, JOINTS, Crowd, crowd, sides
from benchmarks.likeness import likeness
from benchmarks.patience import Patience
from benchmarks.peers import plain_grouping
from benchmarks.ratio import paired_ratio
from benchmarks.results_file import circumstances, write_results
from edgepose.pose.decode.associative import people_in, people_in_both
from edgepose.pose.decode.grouping import group
from edgepose.pose.decode.matching import joint_order

_LITEPOSE, _HIGHERHRNET = "LitePose, transcribed", "HigherHRNet, transcribed"
_EXACT, _EXACT_ALL, _FAST = "exact", "exact, with enlarging", "fast, with enlarging"
_PEERS = (_LITEPOSE, _HIGHERHRNET)
_SPEEDUP = 20.0  # exact, of both
_MOST_MS = {1: 5.0, 5: 5.0, 30: 20.0}  # fast, on a quiet core, without the flip test
_HEADERS = (
    *("people", "flip test", "what", "ms", "best ms"),
    *("LitePose / this", "HigherHRNet / this", "limit"),
)


@dataclass(frozen=True)
class Cost:
    """One way's blocks in the order of the rounds: the mean time of a call."""

    people: int
    flip: bool
    name: str
    blocks_ns: tuple[float, ...]

    @property
    def ms(self) -> float:
        return median(self.blocks_ns) / 1e6


def main() -> int:
    """Returns 0 where every figure is within its limit."""
    import torch

    arguments = _arguments()
    found = circumstances()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    patience = Patience(arguments.patience)
    cases = [(people, flip) for flip in (True, False) for people in _MOST_MS]
    costs = [cost for case in cases for cost in _race(*case, arguments, patience)]
    like = likeness(arguments.images)
    verdicts = [_verdict(cost, costs) for cost in costs]
    notes = [
        f"One {INPUT}x{INPUT} result of {JOINTS} joints, {arguments.rounds} rounds; in each, every "
        "way in random order. ms: the median of the rounds; best ms: the fastest one. Ratios are "
        "paired by round, with their 95 % t-interval. OpenCV and torch have one thread.",
        "The transcriptions and `exact` get heatmaps and tags that are enlarged to the input's "
        "size already; the others get the net's own outputs. With the flip test, as both papers "
        "have it, heatmaps are the mean of two looks and each cell has two tags.",
        f"Limits: exact at least {_SPEEDUP:g} times as fast as LitePose and as HigherHRNet; fast, "
        "without the flip test, at most "
        + ", ".join(f"{most:g} ms for {people}" for people, most in _MOST_MS.items())
        + ".",
        f"Fast beside exact, {like}.",
        f"{patience}.",
    ]
    data = {"costs": [asdict(cost) for cost in costs], "likeness": asdict(like)}
    rows = [_row(cost, costs) for cost in costs]
    write_results("grouping", found, data, _HEADERS, rows, notes)
    return int("BROKEN" in verdicts or not like.holds)


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


def _ways(scene: Crowd, flip: bool) -> Mapping[str, Callable[[], object]]:
    maps, tags = scene.enlarged(flip)
    order, outputs = joint_order(JOINTS), (scene.out0, scene.out1)

    def people(exact: bool) -> object:
        if flip:
            return people_in_both(outputs, scene.mirrored, sides(), exact=exact)
        return people_in(outputs, JOINTS, exact=exact)

    return {
        _LITEPOSE: lambda: plain_grouping.group(maps, tags, order, plain_grouping.as_litepose),
        _HIGHERHRNET: lambda: plain_grouping.group(maps, tags, order),
        _EXACT: lambda: group(maps, tags),
        _EXACT_ALL: lambda: people(exact=True),
        _FAST: lambda: people(exact=False),
    }


def _race(people: int, flip: bool, arguments: argparse.Namespace, patience: Patience) -> list[Cost]:
    ways = _ways(crowd(people, arguments.seed), flip)
    order, blocks = list(ways), {name: [] for name in ways}
    shuffle = random.Random(arguments.seed).shuffle
    for _ in range(arguments.rounds):
        shuffle(order)
        patience.wait()
        for name in order:
            blocks[name].append(_block_ns(ways[name], arguments.block))
    return [Cost(people, flip, name, tuple(blocks[name])) for name in ways]


def _block_ns(way: Callable[[], object], seconds: float) -> float:
    """Mean of the calls in a block, after one that is not counted."""
    way()
    count, start = 0, time.perf_counter_ns()
    while (elapsed := time.perf_counter_ns() - start) < seconds * 1e9 or count == 0:
        way()
        count += 1
    return elapsed / count


def _of(costs: Sequence[Cost], like: Cost, name: str) -> Cost:
    """The cost of another way in the same case."""
    case = (like.people, like.flip, name)
    return next(cost for cost in costs if (cost.people, cost.flip, cost.name) == case)


def _ratio(cost: Cost, costs: Sequence[Cost], base: str) -> tuple[float, str]:
    first = _of(costs, cost, base)
    if first is cost:
        return 1.0, "1"
    ratio = paired_ratio("", "", first.blocks_ns, cost.blocks_ns, 1.0)
    return ratio.ratio, f"{ratio.ratio:.3g} ({ratio.low:.3g} to {ratio.high:.3g})"


def _verdict(cost: Cost, costs: Sequence[Cost]) -> str:
    if cost.name == _EXACT:
        return _holds(all(_ratio(cost, costs, peer)[0] >= _SPEEDUP for peer in _PEERS))
    if cost.name == _FAST and not cost.flip:
        return _holds(cost.ms <= _MOST_MS[cost.people])
    return "-"


def _holds(is_within: bool) -> str:
    return "holds" if is_within else "BROKEN"


def _row(cost: Cost, costs: Sequence[Cost]) -> list[str]:
    return [
        str(cost.people),
        "yes" if cost.flip else "no",
        cost.name,
        f"{cost.ms:.1f}",
        f"{min(cost.blocks_ns) / 1e6:.1f}",
        *(_ratio(cost, costs, peer)[1] for peer in _PEERS),
        _verdict(cost, costs),
    ]


if __name__ == "__main__":
    sys.exit(main())
