"""Does the runner tell the truth? Against a bare loop, and against ncnn's own benchmark loop.

``python -m benchmarks.harness_truth`` from the repository's root; see benchmarks/README.md.
"""

import argparse
import os
import random
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.bare_loop import bare_blocks
from benchmarks.native_loop import LOOP, RUNNER, medians, native_blocks
from benchmarks.native_ncnn import NativeNcnn, missing_tools, native_ncnn
from benchmarks.patience import Patience
from benchmarks.ratio import Ratio, paired_ratio
from benchmarks.results_file import circumstances, write_results
from edgepose.build import build
from edgepose.bundle import Bundle

_MODELS = ("litepose-xs", "rtmpose-t")
_ENGINES = ("onnxruntime", "ncnn")
_BARE_LIMIT = _NATIVE_LIMIT = 0.03


def main() -> int:
    """Returns 0 where every ratio is within its limit and none is missing."""
    arguments = _arguments()
    random.seed(arguments.seed)
    lacking = missing_tools()
    native = None if lacking else native_ncnn()
    found = circumstances()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # as bench pins; children inherit it
    with tempfile.TemporaryDirectory() as scratch:
        comparison = _Comparison(arguments, Path(scratch), Patience(arguments.patience))
        for model in arguments.models:
            comparison.with_bare_loop(model)
        for model in arguments.models if native else ():
            comparison.with_native_loop(model, native)
    ratios = comparison.ratios
    notes = [*_notes(lacking, native, arguments.seed), f"{comparison.patience}."]
    data = {"ratios": [asdict(ratio) for ratio in ratios], "blocks_ns": comparison.blocks}
    write_results("harness_truth", found, data, _HEADERS, [_row(ratio) for ratio in ratios], notes)
    return int(bool(lacking) or any(ratio.verdict != "holds" for ratio in ratios))


@dataclass
class _Comparison:
    """What is seen, model by model: the ratios, and all blocks in ns they were made of."""

    arguments: argparse.Namespace
    scratch: Path
    patience: Patience
    ratios: list[Ratio] = field(default_factory=list)
    blocks: dict[str, Any] = field(default_factory=dict)

    def with_bare_loop(self, model: str) -> None:
        for engine in _ENGINES:
            found = bare_blocks(self._bundle(model, engine), self.arguments.pairs, self.patience)
            for what, values in (("median", found.runner_median), ("mean", found.runner_mean)):
                title = f"{engine}: runner's {what} / bare loop"
                self.ratios.append(paired_ratio(title, model, values, found.bare, _BARE_LIMIT))
            self.blocks[f"{engine}, bare loop, {model}"] = asdict(found)

    def with_native_loop(self, model: str, native: NativeNcnn) -> None:
        bundle, how = self._bundle(model, "ncnn"), self.arguments
        found = native_blocks(
            bundle, native, how.rounds, how.loops, scratch=self.scratch, patience=self.patience
        )
        runner, loop = medians(found[RUNNER]), medians(found[LOOP])
        title = f"ncnn: {RUNNER} / {LOOP}"
        self.ratios.append(paired_ratio(title, model, runner, loop, _NATIVE_LIMIT))
        self.blocks[f"ncnn, own loop, {model}"] = found

    def _bundle(self, model: str, engine: str) -> Bundle:
        into = self.scratch / f"{model}-{engine}"
        return build(model, "host", f"{engine}-fp32", into=into)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=_MODELS, help="zoo names")
    parser.add_argument("--pairs", type=int, default=60, help="of blocks against the bare loop")
    parser.add_argument("--rounds", type=int, default=20, help="of processes against ncnn's loop")
    parser.add_argument("--loops", type=int, default=50, help="timed inferences of each process")
    parser.add_argument(
        "--patience", type=float, default=300.0, help="seconds to wait for an idle machine, in all"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the random order")
    return parser.parse_args()


_HEADERS = ("model", "what", "ratio", "95 % interval", "limit", "verdict", "ms", "pairs")


def _row(ratio: Ratio) -> list[str]:
    return [
        ratio.model,
        ratio.what,
        f"{ratio.ratio:.4f}",
        f"{ratio.low:.4f} to {ratio.high:.4f}",
        f"± {ratio.limit:.0%}",
        ratio.verdict,
        f"{ratio.first_ms:.3f} / {ratio.second_ms:.3f}",
        str(ratio.pairs),
    ]


def _notes(lacking: str, native: NativeNcnn | None, seed: int) -> list[str]:
    notes = [
        "Geometric mean of the ratios of neighbouring blocks in random order, with the paired 95 % "
        f"t-interval; ms: medians of the blocks. One thread, pinned to one core, seed {seed}.",
        "A bare block is its wall time over its inferences, hence a mean: other load on the "
        "machine raises it above the runner's median, and the ratio falls below 1. The runner's "
        "mean has no such bias.",
    ]
    if native is None:
        return [*notes, f"NOT compared with ncnn's own loop: {lacking}"]
    return [
        *notes,
        f"The bare C++ loop is `ncnn_loop/loop.cpp`, linked by {native.compiler} to the very "
        "library that the native runner holds. The bare loop of the first rows is Python's: there "
        "the Python runner is asked.",
    ]


if __name__ == "__main__":
    sys.exit(main())
