"""How fast TVM's artifacts are after so many trials of tuning, next to onnxruntime and ncnn.

``python -m benchmarks.tuning_curve`` from the repository's root; see benchmarks/README.md.
"""

import argparse
import contextlib
import os
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from benchmarks.patience import Patience
from benchmarks.ratio import paired_ratio
from benchmarks.results_file import RESULTS, circumstances, write_results
from edgepose.build import build
from edgepose.bundle import Bundle, load_bundle
from edgepose.deadline import Deadline
from edgepose.engines.base import Artifact, Session, Tensors
from edgepose.engines.tvm.process import run_child
from edgepose.engines.tvm.session import TvmSession
from edgepose.engines.tvm.steps import LIBRARY
from edgepose.tuning.session import tune

_PLAIN, _REFERENCE = "TVM by itself, untuned", "onnxruntime"
_COMPILE_S = 900.0
_HEADERS = ("model", "what", "ms", "of TVM by itself", "of onnxruntime", "tuned for", "trials")


@dataclass(frozen=True)
class Contestant:
    """``trials`` None: not TVM's. ``tuning_s`` is what all its trials took together."""

    name: str
    session: Session
    trials: int | None = None
    tuning_s: float = 0.0


@dataclass(frozen=True)
class Latency:
    """One contestant's blocks, in the order of the rounds: the mean inference of each."""

    model: str
    name: str
    trials: int | None
    tuning_s: float
    blocks_ns: tuple[float, ...]

    @property
    def ms(self) -> float:
        return median(self.blocks_ns) / 1e6


def main() -> int:
    """Returns 0 where each model's last point is at least 8 times as fast as TVM by itself."""
    arguments = _arguments()
    found = circumstances()
    patience = Patience(arguments.patience)
    latencies: list[Latency] = []
    with contextlib.ExitStack() as ends:
        kept = arguments.folder or Path(ends.enter_context(tempfile.TemporaryDirectory()))
        for model in arguments.models:
            os.environ["EDGEPOSE_DATA"] = str(kept / model / "data")  # no records but our own
            contestants, image = _prepare(model, kept / model, arguments)
            if not arguments.only_tune:
                latencies += _race(model, contestants, image, arguments, patience)
    if arguments.only_tune:
        return 0
    notes = [
        f"{arguments.rounds} rounds; in each, every artifact in random order, {arguments.block:g} "
        "s each, in one process on one thread. ms is the median of the blocks' means; ratios are "
        "paired by round, with their 95 % t-interval.",
        f"{_PLAIN}: NCHW, kernels fused, none scheduled. 0 trials: blocked layout and schedules by "
        "rule, as `edgepose build` makes it without records.",
        f"Tuning ran on {found['machine']}, one candidate at a time on one thread, builds between.",
        f"{patience}.",
    ]
    rows = [row for model in arguments.models for row in _rows(_of(latencies, model))]
    data = {"latencies": [asdict(each) for each in latencies]}
    write_results("tuning_curve", found, data, _HEADERS, rows, notes)
    _plot(latencies, arguments.models, RESULTS / "tuning_curve.png")
    return int(not all(_speedup(_of(latencies, model)) >= 8 for model in arguments.models))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["litepose-xs", "rtmpose-t"])
    parser.add_argument("--trials", type=int, nargs="+", default=[200, 1000], help="points")
    parser.add_argument("--time", type=float, help="seconds of tuning for each point, at most")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--block", type=float, default=0.5, help="seconds of one block")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--folder", type=Path, help="keep what is tuned and built here, for a run that only races"
    )
    parser.add_argument("--only-tune", action="store_true", help="fill the folder, race later")
    parser.add_argument(
        "--patience", type=float, default=300.0, help="seconds to wait for an idle machine, in all"
    )
    return parser.parse_args()


def _prepare(
    model: str, folder: Path, arguments: argparse.Namespace
) -> tuple[list[Contestant], Tensors]:
    """Everything that is compared, built or found in ``folder``, and an image for it."""
    others = {
        _REFERENCE: _bundle(model, "onnxruntime-fp32", folder / "onnxruntime"),
        "ncnn": _bundle(model, "ncnn-fp32", folder / "ncnn"),
    }
    contestants = [Contestant(name, bundle.session()) for name, bundle in others.items()]
    reference = others[_REFERENCE]
    onnx_file = reference.folder / reference.manifest.artifact.files[0]
    contestants.append(Contestant(_PLAIN, _plain(onnx_file, folder / "plain", reference)))
    tuning_s = 0.0
    for trials in (0, *arguments.trials):
        point, took = folder / f"tvm-{trials}", folder / f"tvm-{trials}.seconds"
        if trials and not took.exists():
            start = time.monotonic()
            tune(model, trials=trials, time_s=arguments.time)
            took.write_text(str(time.monotonic() - start))
        tuning_s += float(took.read_text()) if trials else 0.0
        bundle = _bundle(model, "tvm-autoscheduler", point)
        contestants.append(Contestant(f"TVM, {trials} trials", bundle.session(), trials, tuning_s))
    return contestants, reference.golden()[0].inputs


def _bundle(model: str, recipe: str, folder: Path) -> Bundle:
    return load_bundle(folder) if folder.exists() else build(model, "host", recipe, into=folder)


def _plain(onnx_file: Path, folder: Path, bundle: Bundle) -> Session:
    if not (folder / LIBRARY).exists():
        folder.mkdir(parents=True)
        module, deadline = "benchmarks.plain_tvm", Deadline.after(_COMPILE_S)
        run_child(module, [str(onnx_file)], folder, deadline, doing="compiling with TVM by itself")
    manifest = bundle.manifest
    return TvmSession(Artifact(folder, (LIBRARY,), {}, manifest.inputs, manifest.outputs), 1)


def _race(
    model: str,
    contestants: Sequence[Contestant],
    image: Tensors,
    arguments: argparse.Namespace,
    patience: Patience,
) -> list[Latency]:
    order, blocks = list(contestants), {each.name: [] for each in contestants}
    shuffle = random.Random(arguments.seed).shuffle
    for _ in range(arguments.rounds):
        shuffle(order)
        patience.wait()
        for each in order:
            blocks[each.name].append(_block_ns(each.session, image, arguments.block))
    return [
        Latency(model, each.name, each.trials, each.tuning_s, tuple(blocks[each.name]))
        for each in contestants
    ]


def _block_ns(session: Session, image: Tensors, seconds: float) -> float:
    """Mean of the inferences in a block, after one that is not counted."""
    session.run(image)
    count, start = 0, time.perf_counter_ns()
    while (elapsed := time.perf_counter_ns() - start) < seconds * 1e9 or count == 0:
        session.run(image)
        count += 1
    return elapsed / count


def _of(latencies: Sequence[Latency], model: str) -> Mapping[str, Latency]:
    return {each.name: each for each in latencies if each.model == model}


def _rows(known: Mapping[str, Latency]) -> list[list[str]]:
    return [
        [
            each.model,
            each.name,
            f"{each.ms:.2f}",
            *(_ratio(each, known[name]) for name in (_PLAIN, _REFERENCE)),
            f"{each.tuning_s / 60:.0f} min" if each.trials else "-",
            "-" if each.trials is None else str(each.trials),
        ]
        for each in known.values()
    ]


def _ratio(latency: Latency, base: Latency) -> str:
    if latency is base:
        return "1"
    found = paired_ratio("", latency.model, latency.blocks_ns, base.blocks_ns, 1.0)
    return f"{found.ratio:.3g} ({found.low:.3g} to {found.high:.3g})"


def _speedup(known: Mapping[str, Latency]) -> float:
    """Of the last point over TVM by itself."""
    *_, last = (each for each in known.values() if each.trials is not None)
    return known[_PLAIN].ms / last.ms


def _plot(latencies: Sequence[Latency], models: Sequence[str], path: Path) -> None:
    """Latency over trials, a panel for each model. Needs matplotlib."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(
        1, len(models), figsize=(5 * len(models), 4), squeeze=False, layout="constrained"
    )
    for panel, model in zip(panels[0], models, strict=True):
        known = _of(latencies, model)
        curve = [each for each in known.values() if each.trials is not None]
        panel.plot([each.trials for each in curve], [each.ms for each in curve], "o-", label="TVM")
        for number, each in enumerate(each for each in known.values() if each.trials is None):
            panel.axhline(each.ms, label=each.name, color=f"C{number + 1}", linestyle="--")
        panel.set(title=model, xlabel="trials", ylabel="ms, one thread", yscale="log")
        panel.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
