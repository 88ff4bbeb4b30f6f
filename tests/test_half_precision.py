"""What arithmetic in halves does to trained nets: the phone's runner on an emulated Cortex-A76.

The figures of a real phone's CPU should be these; none was tried.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from edgepose import build
from edgepose.bundle import Bundle, make_plan
from edgepose.pose.preprocess import prepare, read_image
from edgepose.prove.on_host import outputs_on_host, way_to_prove
from edgepose.runners.plan import GoldenPaths
from edgepose.targets import load_target
from tests.coco_ap import coco_ap, persons
from tests.trained_model import EXAMPLES, trained_model

pytestmark = pytest.mark.emulation
POSE_NET, DETECTOR = "tinypose-256x192", "rtmdet-nano"


@pytest.fixture(scope="module")
def folder(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("halves")
    for name in (POSE_NET, DETECTOR):
        shutil.copy(shared_data / "models" / f"{name}.onnx", made)
        shutil.copy(EXAMPLES / f"{name}.toml", made)
    return made


def for_phone(folder: Path, name: str, recipe: str) -> Bundle:
    into = folder / f"{name}-{recipe}"
    return build(str(folder / f"{name}.onnx"), "snapdragon-865", recipe, into=into)


def assert_proven_in_halves(bundle: Bundle) -> None:
    proof = bundle.manifest.proof
    assert proof.passed
    assert proof.where == "cortex-a76 emulated on this host"
    assert proof.weights == "trained"
    assert proof.keypoints is not None
    assert proof.keypoints.n_points > 0
    assert proof.keypoints.mean_px <= 1


def test_tinypose_keeps_its_average_precision(shared_data: Path, folder: Path) -> None:
    bundle = for_phone(folder, POSE_NET, "ncnn-fp16")
    assert_proven_in_halves(bundle)
    spec, exactly = trained_model(shared_data, POSE_NET)
    outputs = all_outputs(shared_data, bundle, folder / "crops")
    assert all(np.isfinite(output).all() for output in outputs)
    found = iter(outputs)
    average = coco_ap(shared_data, lambda _: [next(found)], spec)
    assert average >= coco_ap(shared_data, exactly, spec) - 0.02


def test_rtmdet_is_proven_with_halves_stored(folder: Path) -> None:
    # With arithmetic in halves it takes a rescue of ten minutes: docs/phones.md tells the outcome.
    assert_proven_in_halves(for_phone(folder, DETECTOR, "ncnn-fp16-storage"))


def all_outputs(shared_data: Path, bundle: Bundle, folder: Path) -> list[NDArray[np.float32]]:
    """The only output of the bundle for every person, all in one run of its runner."""
    manifest = bundle.manifest
    folder.mkdir()
    plan = make_plan(
        manifest,
        "prove",
        "crops",
        {name: str(bundle.folder / name) for name in manifest.files},
    )
    cases = tuple(crops(shared_data, bundle, folder, plan.golden[0].outputs))
    way = way_to_prove(
        bundle.folder / manifest.runner, load_target(manifest.target), manifest.recipe
    )
    found = outputs_on_host(msgspec.structs.replace(plan, golden=cases), way.command)
    [output] = manifest.model.outputs
    return [found[case.name][output] for case in cases]


def crops(
    shared_data: Path, bundle: Bundle, folder: Path, outputs: dict[str, str]
) -> Iterator[GoldenPaths]:
    """Each person as a golden case. What is golden about it (``outputs``) is not looked at."""
    [given] = bundle.manifest.inputs
    assert bundle.manifest.model.input is not None
    for index, (path, _, box) in enumerate(persons(shared_data)):
        tensor, _ = prepare(read_image(path), bundle.manifest.model.input, box)
        file = folder / f"{index}.npy"
        np.save(file, np.ascontiguousarray(tensor, dtype=np.float32))
        yield GoldenPaths(f"person{index}", {given.name: str(file)}, outputs)
