"""Frames per second of the top-down pipeline beside rtmlib, on the same nets and the same film.

``python -m benchmarks.against_rtmlib DATA`` from the repository's root; see benchmarks/README.md.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median

import cv2

from benchmarks.contestants import SAME_ENGINE, SELDOM, Contestant, Way, contestants
from benchmarks.film import Clip, film, likeness
from benchmarks.patience import Patience
from benchmarks.ratio import Ratio, paired_ratio
from benchmarks.results_file import RESULTS, circumstances, write_results

_FOUR = "000000196141.jpg"  # the photograph with four people in its foreground
_ONE = 0  # the number of the clip with one person
_OUTSIDE_MS, _LOST_OKS = 1.5, 0.01
_HEADERS = (
    *("pose net", "who", "frames / s", "rtmlib's time / this", "one person", "limit"),
    *("ms outside the nets, four people", "OKS", "people a frame"),
)


@dataclass(frozen=True)
class Timed:
    """By round: ms of each clip, of the nets in the whole film, and outside them in a frame of
    the clip with four people.
    """

    net: str
    name: str
    least: float | None
    clips_ms: tuple[tuple[float, ...], ...]
    nets_ms: tuple[float, ...]
    outside_ms: tuple[float, ...]
    frames: int
    oks: float
    people: float

    @property
    def film_ms(self) -> list[float]:
        return [sum(clips_ms) for clips_ms in self.clips_ms]

    @property
    def rate(self) -> float:
        return self.frames / median(self.film_ms) * 1e3


def main() -> int:
    """Returns 0 where every figure is within its limit."""
    arguments = _arguments()
    found = circumstances()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch:
        who, chosen = contestants(
            *(arguments.data, Path(scratch), arguments.recipes, arguments.weights)
        )
        clips = film(arguments.data / "images", arguments.frames)
        patience = Patience(arguments.patience)
        timed = _race(who, clips, arguments, patience)
    verdicts = _verdicts(timed)
    notes = [
        f"The film: {len(clips)} clips of {arguments.frames} frames in memory, a window that moves "
        f"over a photograph each. {arguments.rounds} rounds; in each, everyone takes the whole "
        "film, in random order, and begins each clip anew. One thread. Ratios are paired by round, "
        "with their 95 % t-interval; `one person` is that of the first clip.",
        f"rtmlib {version('rtmlib')}: its PoseTracker with its RTMDet and RTMPose (ViTPose for "
        "TinyPose's heatmaps) and its defaults, on the ONNX files of the onnxruntime bundles, its "
        "sessions held to one thread. Its RTMDet wants suppression in the graph: the same detector "
        "gets the nodes for it, with our limits. Ours decodes and suppresses in Python.",
        f"K = 1: the detector looks at every frame, K = {SELDOM}: at every tenth one. Both track; "
        "ours smooths, too. OKS: each annotated person's with the best pose, mean over the film.",
        f"{', '.join(f'{net}: {recipe}' for net, recipe in chosen.items())} are the fastest proven "
        f"recipes of {', '.join(arguments.recipes)} on this host. rtmpose-t knows the film by "
        "heart (benchmarks/film_weights.py): its OKS says nothing about RTMPose.",
        f"Outside the nets, K = 1, frames of {_FOUR}: at most {_OUTSIDE_MS:g} ms with "
        f"{SAME_ENGINE}. K = {SELDOM} may lose {_LOST_OKS:g} OKS against K = 1.",
        *(f"{what}: {verdict}." for what, verdict in verdicts.items()),
        f"{patience}.",
    ]
    rows = [_row(each, timed) for each in timed]
    data = {"timed": [asdict(each) for each in timed], "recipes": chosen, "verdicts": verdicts}
    write_results("against_rtmlib", found, data, _HEADERS, rows, notes)
    _plot(timed, RESULTS / "against_rtmlib.png")
    return int("BROKEN" in verdicts.values())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder with the reference images and models")
    parser.add_argument("--frames", type=int, default=20, help="of each clip")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--recipes",
        nargs="+",
        default=[
            *(SAME_ENGINE, "ncnn-fp32", "tvm-autoscheduler", "openvino-fp32", "openvino-bf16")
        ],
        help="among which the fastest is chosen for each net",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        default=Path(tempfile.gettempdir()) / "rtmpose-t-film.pth",
        help="rtmpose-t's for the film; trained there if the file does not exist",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--patience", type=float, default=60.0, help="seconds to wait for an idle machine, in all"
    )
    return parser.parse_args()


def _race(
    contestants: Sequence[Contestant],
    clips: Sequence[Clip],
    arguments: argparse.Namespace,
    patience: Patience,
) -> list[Timed]:
    seen = {_key(each): _watch(each, clips) for each in contestants}  # and warm up
    order = list(contestants)
    rounds: dict[tuple[str, str], list[tuple[tuple[float, ...], float, float]]] = {
        key: [] for key in seen
    }
    shuffle = random.Random(arguments.seed).shuffle
    for _ in range(arguments.rounds):
        shuffle(order)
        for each in order:
            patience.wait()
            rounds[_key(each)].append(_time(each.way, clips))
    timed = []
    for each in contestants:
        clips_ms, nets_ms, outside_ms = zip(*rounds[_key(each)], strict=True)
        frames = sum(len(clip.shots) for clip in clips)
        timed.append(
            Timed(
                *(each.net, each.name, each.least),
                *(clips_ms, nets_ms, outside_ms),
                *(frames, *seen[_key(each)]),
            )
        )
    return timed


def _key(contestant: Contestant) -> tuple[str, str]:
    return contestant.net, contestant.name


def _watch(contestant: Contestant, clips: Sequence[Clip]) -> tuple[float, float]:
    """Mean OKS of the people in the film, and how many were found a frame."""
    alike: list[float] = []
    people = []
    for clip in clips:
        contestant.way.reset()
        for shot in clip.shots:
            found, _ = contestant.way(shot.image)
            alike += likeness(shot, found)
            people.append(len(found))
    return mean(alike), mean(people)


def _time(way: Way, clips: Sequence[Clip]) -> tuple[tuple[float, ...], float, float]:
    """ms of each clip, of the nets in all, and outside them in a frame of the clip with four."""
    clips_ms = []
    nets_ms = outside_ms = 0.0
    for clip in clips:
        way.reset()
        own_ms = 0.0
        begun = time.perf_counter_ns()
        for shot in clip.shots:
            own_ms += way(shot.image)[1]
        clips_ms.append((time.perf_counter_ns() - begun) / 1e6)
        nets_ms += own_ms
        if clip.name == _FOUR:
            outside_ms = (clips_ms[-1] - own_ms) / len(clip.shots)
    return tuple(clips_ms), nets_ms, outside_ms


def _base(each: Timed, timed: Sequence[Timed]) -> Timed:
    return next(other for other in timed if other.net == each.net and "rtmlib" in other.name)


def _ratio(each: Timed, timed: Sequence[Timed]) -> Ratio:
    base = _base(each, timed)
    return paired_ratio(each.name, each.net, base.film_ms, each.film_ms, 1.0)


def _ratio_of_one(each: Timed, timed: Sequence[Timed]) -> float:
    """The same, in the clip of a single person only."""
    base = _base(each, timed)
    first, own = ([clips_ms[_ONE] for clips_ms in who.clips_ms] for who in (base, each))
    return paired_ratio(each.name, each.net, first, own, 1.0).ratio


def _verdict(each: Timed, timed: Sequence[Timed]) -> str:
    if each.least is None:
        return "-"
    ratio = _ratio(each, timed)
    if ratio.low >= each.least:
        return f"{each.least:g}: holds"
    return f"{each.least:g}: {'BROKEN' if ratio.high < each.least else 'cannot tell'}"


def _verdicts(timed: Sequence[Timed]) -> dict[str, str]:
    """Of all that has a limit."""
    found = {
        f"{each.net}, {each.name}, at least so many times as fast as rtmlib": verdict
        for each in timed
        if (verdict := _verdict(each, timed)) != "-"
    }
    verdicts = {what: verdict.partition(": ")[2] for what, verdict in found.items()}
    for each in timed:
        if each.name == f"{SAME_ENGINE}, K = 1":
            outside = median(each.outside_ms)
            what = f"{each.net}, {outside:.2f} ms outside the nets"
            verdicts[what] = "holds" if outside <= _OUTSIDE_MS else "BROKEN"
        if each.name.endswith(f", K = {SELDOM}"):
            always = each.name.replace(f"K = {SELDOM}", "K = 1")
            [known] = [one for one in timed if (one.net, one.name) == (each.net, always)]
            lost = known.oks - each.oks
            what = f"{each.net}, {each.name}, {lost:.4f} OKS lost"
            verdicts[what] = "holds" if lost <= _LOST_OKS else "BROKEN"
    return verdicts


def _row(each: Timed, timed: Sequence[Timed]) -> list[str]:
    ratio = _ratio(each, timed)
    is_base = each is _base(each, timed)
    return [
        each.net,
        each.name,
        f"{each.rate:.1f}",
        "1" if is_base else f"{ratio.ratio:.2f} ({ratio.low:.2f} to {ratio.high:.2f})",
        f"{_ratio_of_one(each, timed):.2f}",
        _verdict(each, timed),
        f"{median(each.outside_ms):.2f}",
        f"{each.oks:.3f}",
        f"{each.people:.2f}",
    ]


def _plot(timed: Sequence[Timed], path: Path) -> None:
    """ms a frame in the nets and outside them, a panel for each pose net. Needs matplotlib."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    nets = list(dict.fromkeys(each.net for each in timed))
    figure, panels = pyplot.subplots(
        len(nets), 1, figsize=(7, 4.6), squeeze=False, sharex=True, layout="constrained"
    )
    for panel, net in zip(panels[:, 0], nets, strict=True):
        own = [each for each in timed if each.net == net][::-1]
        names = [each.name for each in own]
        inside = [median(each.nets_ms) / each.frames for each in own]
        whole = [median(each.film_ms) / each.frames for each in own]
        outside = [all_ - nets_ms for all_, nets_ms in zip(whole, inside, strict=True)]
        panel.barh(names, inside, color="#4c78a8", label="nets")
        panel.barh(names, outside, left=inside, color="#f58518", label="outside the nets")
        for name, end, each in zip(names, whole, own, strict=True):
            panel.text(end, name, f" {each.rate:.0f} frames/s", va="center", fontsize=8)
        panel.set(title=net)
        panel.margins(x=0.18)
    panels[0, 0].legend(loc="lower right")
    panels[-1, 0].set(xlabel="ms a frame, one thread")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
