"""Who runs in ``benchmarks.against_rtmlib``: rtmlib, and our pipeline with bundles of this host."""

import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.film_weights import train
from benchmarks.peers.rtmlib_tracker import RtmlibTracker, with_suppression
from edgepose.build import build
from edgepose.bundle import Bundle
from edgepose.errors import EdgePoseError
from edgepose.pose.pipeline import Pipeline, PipelineSettings

SAME_ENGINE = "onnxruntime-fp32"
SELDOM = 10  # K: frames from one detection to the next
_EXAMPLES = Path(__file__).parent.parent / "examples"
_DETECTOR, _TINYPOSE, _RTMPOSE = "rtmdet-nano", "tinypose-256x192", "rtmpose-t"
# Of the detector, on both sides. At 0.3 a box more or less in a frame would decide who is faster.
_IOU, _THRESHOLD = 0.6, 0.5


class Way(Protocol):
    """Poses [K, 2] of the people in a frame, and the nets' share of the time in ms."""

    def __call__(self, image: NDArray[np.uint8]) -> tuple[Sequence[NDArray[Any]], float]: ...

    def reset(self) -> None: ...


class OurPipeline:
    def __init__(self, pose: Bundle, detector: Bundle, detect_every: int) -> None:
        settings = PipelineSettings(
            detect_every=detect_every, detection_threshold=_THRESHOLD, detection_iou=_IOU
        )
        self._pipeline = Pipeline.from_bundles(pose, detector, threads=1, settings=settings)

    def reset(self) -> None:
        self._pipeline.reset()

    def __call__(self, image: NDArray[np.uint8]) -> tuple[Sequence[NDArray[Any]], float]:
        frame = self._pipeline.process(image)
        nets_ms = frame.stages_ms["detector"] + frame.stages_ms["network"]
        return [person.points for person in frame.people], nets_ms


@dataclass(frozen=True)
class Contestant:
    """``least``: how many times as fast as rtmlib it shall be; None: not judged."""

    net: str
    name: str
    way: Way
    least: float | None = None


def contestants(
    data: Path, scratch: Path, recipes: Sequence[str], weights: Path
) -> tuple[list[Contestant], dict[str, str]]:
    """Who is compared, and the fastest recipe of each net.

    ``weights`` are rtmpose-t's for the film; they are trained where the file does not exist.
    """
    if not weights.exists():
        train(data, weights)
    models = {_RTMPOSE: (_RTMPOSE, weights)}
    for name in (_DETECTOR, _TINYPOSE):
        shutil.copy(data / "models" / f"{name}.onnx", scratch)
        shutil.copy(_EXAMPLES / f"{name}.toml", scratch)
        models[name] = (str(scratch / f"{name}.onnx"), None)
    bundles = {name: _bundles(name, *which, scratch, recipes) for name, which in models.items()}
    chosen = {name: _fastest(each) for name, each in bundles.items()}
    detector = bundles[_DETECTOR]
    alone = _of_one_image(detector[SAME_ENGINE], scratch / f"{_DETECTOR}-1.onnx")
    dets = with_suppression(alone, scratch / "dets.onnx", iou=_IOU, threshold=_THRESHOLD)
    found = []
    for net, decoder in ((_RTMPOSE, "simcc"), (_TINYPOSE, "heatmap")):
        same, fastest = bundles[net][SAME_ENGINE], bundles[net][chosen[net]]
        its_own = RtmlibTracker(dets, _of_one_image(same, scratch / f"{net}-1.onnx"), decoder)
        found.append(Contestant(net, "rtmlib, K = 1", its_own))
        for name, pose, find, always, seldom in (
            (SAME_ENGINE, same, detector[SAME_ENGINE], 1.15, None),
            ("fastest recipe", fastest, detector[chosen[_DETECTOR]], 1.5, 3.0),
        ):
            for every, least in ((1, always), (SELDOM, seldom)):
                way = OurPipeline(pose, find, every)
                found.append(Contestant(net, f"{name}, K = {every}", way, least))
    return found, chosen


def _bundles(
    name: str, model: str, weights: Path | None, scratch: Path, recipes: Sequence[str]
) -> dict[str, Bundle]:
    """The proven bundles of a net, by recipe; one that fails is left out."""
    found = {}
    for recipe in dict.fromkeys([SAME_ENGINE, *recipes]):
        try:
            found[recipe] = build(model, "host", recipe, weights, scratch / f"{name}-{recipe}")
        except EdgePoseError as error:
            if recipe == SAME_ENGINE:
                raise
            print(f"{name}, {recipe}: {error}", file=sys.stderr)
    return found


def _of_one_image(bundle: Bundle, into: Path) -> Path:
    """Its ONNX file for a batch of 1, whatever the bundle's leaves free."""
    model = onnx.load(str(bundle.folder / bundle.manifest.artifact.files[0]))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, str(into))
    return into


def _fastest(bundles: Mapping[str, Bundle]) -> str:
    """The recipe with the fastest median inference, all taken in turns."""
    ways = {recipe: _inference(bundle) for recipe, bundle in bundles.items()}
    spent: dict[str, list[float]] = {recipe: [] for recipe in ways}
    for _ in range(30):
        for recipe, infer in ways.items():
            begun = time.perf_counter()
            infer()
            spent[recipe].append(time.perf_counter() - begun)
    return min(spent, key=lambda recipe: median(spent[recipe]))


def _inference(bundle: Bundle) -> Callable[[], object]:
    session, inputs = bundle.session(1), bundle.golden()[0].inputs
    session.run(inputs)
    return lambda: session.run(inputs)
