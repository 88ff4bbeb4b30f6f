"""What a bundle does to accuracy: trained nets through every recipe, judged on real photographs.

The bundles are built for this host from the reference ONNX files and the shipped examples' TOML.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgepose import build
from edgepose.bundle import Bundle
from edgepose.pose.decode import Boxes, Keypoints, decode
from edgepose.pose.nms import box_iou
from edgepose.pose.preprocess import prepare, read_image
from tests.coco_ap import Run, coco_ap, persons
from tests.trained_model import EXAMPLES

BASELINE = "onnxruntime-fp32"
RECIPES = (BASELINE, "ncnn-fp32", "ncnn-fp16")
POSE_NET, DETECTOR = "tinypose-256x192", "rtmdet-nano"
SEEN = 0.3

Builder = Callable[[str, str], Bundle]


@pytest.fixture(scope="module")
def bundle_of(
    shared_data: Path, own_places: None, tmp_path_factory: pytest.TempPathFactory
) -> Builder:
    """``bundle_of(name, recipe)``: the bundle of a reference ONNX file for this host."""
    folder = tmp_path_factory.mktemp("figures")
    for name in (POSE_NET, DETECTOR):
        shutil.copy(shared_data / "models" / f"{name}.onnx", folder)
        shutil.copy(EXAMPLES / f"{name}.toml", folder)

    def bundle_of(name: str, recipe: str) -> Bundle:
        model = folder / f"{name}.onnx"
        return build(str(model), "host", recipe, into=folder / f"{name}-{recipe}")

    return bundle_of


@pytest.mark.parametrize("recipe", RECIPES)
def test_tinypose_keeps_its_average_precision(
    shared_data: Path, bundle_of: Builder, recipe: str
) -> None:
    bundle = bundle_of(POSE_NET, recipe)
    assert coco_ap(shared_data, _runner(bundle), bundle.manifest.model) >= 0.82


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", [POSE_NET, DETECTOR])
def test_bundle_proves_that_its_points_stay(bundle_of: Builder, name: str, recipe: str) -> None:
    proof = bundle_of(name, recipe).manifest.proof
    assert proof.passed
    assert proof.weights == "trained"
    assert proof.keypoints is not None
    assert proof.keypoints.n_points > 0
    assert proof.keypoints.mean_px <= 0.5


@pytest.mark.parametrize("recipe", RECIPES[1:])
def test_tinypose_sees_the_same_points_on_photographs(
    shared_data: Path, bundle_of: Builder, recipe: str
) -> None:
    wanted = _all_points(shared_data, bundle_of(POSE_NET, BASELINE))
    found = _all_points(shared_data, bundle_of(POSE_NET, recipe))
    seen = wanted.scores >= SEEN
    assert seen.sum() > 100  # of 12 persons' 17 points
    drift = np.linalg.norm(found.points - wanted.points, axis=-1)[seen]
    assert drift.mean() <= 0.5


@pytest.mark.parametrize("recipe", RECIPES)
def test_rtmdet_finds_all_persons(shared_data: Path, bundle_of: Builder, recipe: str) -> None:
    overlaps = list(_overlaps(shared_data, bundle_of(DETECTOR, recipe)))
    assert len(overlaps) == 12
    assert min(overlaps) > 0.75
    assert np.mean(overlaps) == pytest.approx(0.894, abs=0.01)


def _runner(bundle: Bundle) -> Run:
    """The bundle's session as ``coco_ap`` wants it."""
    session, model = bundle.session(), bundle.manifest.model
    [given] = bundle.manifest.inputs

    def run(tensor: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        outputs = session.run({given.name: tensor})
        return [outputs[name] for name in model.outputs]

    return run


def _all_points(shared_data: Path, bundle: Bundle) -> Keypoints:
    """Key points of all 12 persons, in input pixels: points [204, 2], scores [204]."""
    model, run = bundle.manifest.model, _runner(bundle)
    found = []
    for path, _, box in persons(shared_data):
        tensor, _ = prepare(read_image(path), model.input, box)
        found.append(decode(model, dict(zip(model.outputs, run(tensor), strict=True))))
    points, scores = ([getattr(one, name) for one in found] for name in ("points", "scores"))
    return Keypoints(points=np.concatenate(points), scores=np.concatenate(scores))


def _overlaps(shared_data: Path, bundle: Bundle) -> Iterator[float]:
    """Of each person the IoU with the detection that fits best."""
    model, run = bundle.manifest.model, _runner(bundle)
    for path, _, box in persons(shared_data):
        tensor, placement = prepare(read_image(path), model.input)
        found = decode(model, dict(zip(model.outputs, run(tensor), strict=True)))
        assert isinstance(found, Boxes)
        in_image = placement.to_image(found.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
        yield float(box_iou(np.array([box]), in_image).max(initial=0.0))
