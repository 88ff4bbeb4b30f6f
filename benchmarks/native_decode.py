"""Decoding in the native runner beside the Python decoders, on one core.

``python -m benchmarks.native_decode`` from the repository's root; see benchmarks/README.md.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median

import cv2
import numpy as np

from benchmarks.crowd import INPUT, JOINTS, crowd
from benchmarks.native_decoder import Outputs, decode_natively, native_decoder
from benchmarks.patience import Patience
from benchmarks.ratio import Ratio, paired_ratio
from benchmarks.results_file import circumstances, write_results
from edgepose.pose.decode import decode
from edgepose.pose.decode.associative import people_in
from edgepose.zoo import (
    AssociativeDecoder,
    Decoder,
    HeatmapDecoder,
    InputSpec,
    ModelSpec,
    RTMDetDecoder,
    SimCCDecoder,
)

_HEADERS = ("what", "native ms", "best ms", "Python ms", "Python / native", "limit")
_LEAST_RATIO = 1.0  # the native decoder is not the slower one


@dataclass(frozen=True)
class Work:
    """One decoder on one result; ``most_ms`` bounds the native one on a quiet core."""

    name: str
    model: ModelSpec
    outputs: Outputs
    in_python: Callable[[], object]
    most_ms: float | None = None


@dataclass(frozen=True)
class Cost:
    """Both ways' rounds, in order: the median of a round's calls."""

    name: str
    native_ns: tuple[float, ...]
    python_ns: tuple[float, ...]
    most_ms: float | None

    @property
    def native_ms(self) -> float:
        return median(self.native_ns) / 1e6

    @property
    def verdict(self) -> str:
        if self.most_ms is None:
            return "-"
        fast = self.native_ms <= self.most_ms
        return "holds" if fast and self.ratio.ratio >= _LEAST_RATIO else "BROKEN"

    @property
    def ratio(self) -> Ratio:
        return paired_ratio(self.name, "", self.python_ns, self.native_ns, _LEAST_RATIO)


def main() -> int:
    """Returns 0 where every figure is within its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=30, help="in each round")
    parser.add_argument(
        "--patience", type=float, default=60.0, help="seconds to wait for an idle machine, in all"
    )
    arguments = parser.parse_args()
    found = circumstances()
    cv2.setNumThreads(1)
    patience, program = Patience(arguments.patience), [str(native_decoder())]
    costs = [_cost(work, program, arguments.rounds, arguments.calls, patience) for work in _works()]
    notes = [
        f"The decoders that the native runner brings to boards, compiled for this host, beside the "
        f"Python ones: {arguments.rounds} rounds, in each {arguments.calls} calls of both, one "
        "thread. ms: the median of the rounds' medians; best ms: the fastest round. The ratio is "
        "paired by round, with its 95 % t-interval. Inputs are random, the people made up.",
        f"{patience}.",
    ]
    rows = [_row(cost) for cost in costs]
    data = {"costs": [asdict(cost) for cost in costs]}
    write_results("native_decode", found, data, _HEADERS, rows, notes)
    return int(any(cost.verdict == "BROKEN" for cost in costs))


def _works() -> list[Work]:
    random = np.random.default_rng(0)

    def made_up(*shape: int) -> np.ndarray:
        return random.uniform(-1, 1, shape).astype(np.float32)

    levels = [made_up(1, 1, 320 // s, 320 // s) - 2 for s in (8, 16, 32)]
    levels += [10 * np.abs(made_up(1, 4, 320 // s, 320 // s)) for s in (8, 16, 32)]
    works = [_people(1, 5.0), _people(5, 5.0), _people(30, 20.0)]
    simcc = [made_up(1, JOINTS, 384), made_up(1, JOINTS, 512)]
    works.append(_work("SimCC, 17 x (384 + 512)", SimCCDecoder(), (256, 192), simcc, 0.1))
    for refine in ("quarter", "dark", "udp"):
        decoder = HeatmapDecoder(refine=refine)
        maps = [np.abs(made_up(1, JOINTS, 64, 48))]
        works.append(_work(f"heatmaps, {refine}, 17 x 64 x 48", decoder, (256, 192), maps))
    return [*works, _work("RTMDet, 320 x 320, all cells", RTMDetDecoder(), (320, 320), levels)]


def _people(count: int, most_ms: float) -> Work:
    scene = crowd(count)
    outputs = (scene.out0, scene.out1)
    model = _model(AssociativeDecoder(), (INPUT, INPUT))
    name = f"associative, {INPUT} x {INPUT}, {count} people"
    return Work(name, model, outputs, lambda: people_in(outputs, JOINTS), most_ms)


def _work(
    name: str,
    decoder: Decoder,
    size: tuple[int, int],
    outputs: Outputs,
    most_ms: float | None = None,
) -> Work:
    model = _model(decoder, size)
    named = {str(index): output for index, output in enumerate(outputs)}
    return Work(name, model, outputs, lambda: decode(model, named), most_ms)


def _model(decoder: Decoder, size: tuple[int, int]) -> ModelSpec:
    return ModelSpec(
        name="made-up",
        family="onnx",
        task="unknown",
        input=InputSpec(height=size[0], width=size[1]),
        outputs=(),
        decoder=decoder,
        keypoints=JOINTS,
    )


def _cost(work: Work, program: Sequence[str], rounds: int, calls: int, patience: Patience) -> Cost:
    native, python = [], []
    for _ in range(rounds):
        patience.wait()
        (line,) = decode_natively(program, work.model, [work.outputs], calls + 1)
        native.append(float(median(line["ns"][1:])))
        python.append(_median_ns(work.in_python, calls))
    return Cost(work.name, tuple(native), tuple(python), work.most_ms)


def _median_ns(way: Callable[[], object], calls: int) -> float:
    way()
    latencies = []
    for _ in range(calls):
        start = time.perf_counter_ns()
        way()
        latencies.append(time.perf_counter_ns() - start)
    return float(median(latencies))


def _row(cost: Cost) -> list[str]:
    ratio = cost.ratio
    limit = "" if cost.most_ms is None else f" (at most {cost.most_ms:g} ms)"
    return [
        cost.name,
        f"{cost.native_ms:.3f}",
        f"{min(cost.native_ns) / 1e6:.3f}",
        f"{median(cost.python_ns) / 1e6:.3f}",
        f"{ratio.ratio:.3g} ({ratio.low:.3g} to {ratio.high:.3g})",
        cost.verdict + limit,
    ]


if __name__ == "__main__":
    sys.exit(main())
