"""A trained net evaluated on the emulated Raspberry Pi 4, over SSH: it finds what it finds here.

No test looks at how long an inference took: under emulation that says nothing.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgepose.bench import stages_in_python
from edgepose.bench.stages import stage_budget
from edgepose.build import build
from edgepose.bundle import Bundle
from edgepose.devices.inventory import add_device, find_device
from edgepose.devices.setup import setup_device
from edgepose.devices.setup_pipeline import pipeline_requirements
from edgepose.errors import RuntimeMissingError, ToolchainError
from edgepose.evaluate.demand import Demand
from edgepose.evaluate.on_device import session_on_device
from edgepose.evaluate.session import evaluate, on_a_device
from tests.emulation.board import Board
from tests.emulation.conftest import REQUIRE, entry
from tests.trained_model import EXAMPLES

RECIPES = ("onnxruntime-fp32", "ncnn-fp32")


@pytest.fixture
def tinypose(shared_data: Path, workplace: Path) -> Path:
    """The trained ONNX file with its description beside it."""
    shutil.copy(EXAMPLES / "tinypose-128x96.toml", workplace)
    return Path(shutil.copy(shared_data / "models" / "tinypose-128x96.onnx", workplace))


def demand(bundle: Bundle, shared_data: Path) -> Demand:
    images = shared_data / "images"
    return Demand(
        bundle=bundle,
        dataset="coco",
        images=images,
        annotations=images / "test_coco.json",
        threads=1,
    )


@pytest.mark.parametrize("recipe", RECIPES)
def test_on_the_board_a_net_has_the_ap_that_it_has_here(
    emu: Board, tinypose: Path, shared_data: Path, recipe: str
) -> None:
    wanted = demand(build(str(tinypose), "rpi4", recipe), shared_data)
    runs = emu.home / ".edgepose" / "runs"
    before = set(runs.glob("*"))
    there = evaluate(wanted, on_a_device(wanted, "emu"))
    # An x86-64 host runs ncnn's param and bin files, and the ONNX file, as well.
    here = evaluate(wanted)
    assert here.value > 0.6
    # Other instructions round otherwise: of twelve people none moves from one threshold to another.
    assert there.value == pytest.approx(here.value, abs=1e-6)
    assert (there.device, there.emulated, there.found) == ("emu", True, here.found)
    assert here.device is None
    assert set(runs.glob("*")) <= before


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_batch_of_inputs_gives_the_board_s_outputs_in_order(
    emu: Board, tinypose: Path, recipe: str
) -> None:
    bundle = build(str(tinypose), "rpi4", recipe)
    source = np.random.default_rng(2)
    inputs = [{"input": source.standard_normal((1, 3, 128, 96), np.float32)} for _ in range(3)]
    with session_on_device(bundle, "emu", threads=1) as session:
        assert session.emulated
        found = session.run_many(inputs)
    here = bundle.session()
    for one, given in zip(found, inputs, strict=True):
        wanted = here.run(given)["heatmaps"]
        assert np.abs(one["heatmaps"] - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_without_opencv_there_the_stages_of_the_pipeline_are_refused_with_the_packages(
    emu: Board, tinypose: Path
) -> None:
    bundle = build(str(tinypose), "rpi4", "onnxruntime-fp32")
    with pytest.raises(RuntimeMissingError, match=r"cannot import .*cv2") as caught:
        stage_budget(bundle, "emu", threads=1, frames=1)
    assert "device setup emu --with pipeline" in caught.value.hint


def test_the_native_runner_times_network_and_decoding_on_the_board(
    emu: Board, tinypose: Path
) -> None:
    bundle = build(str(tinypose), "rpi4", "ncnn-fp32")
    found, _ = stage_budget(bundle, "emu", threads=1, frames=1)
    assert (found.way, found.emulated) == ("native", True)
    assert [one.stage for one in found.stages] == ["network", "decode"]
    assert found.people == 1.0


@pytest.mark.timeout(1200)
def test_with_the_pipeline_set_up_every_stage_is_timed_on_the_board(
    emu: Board, tinypose: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages_in_python, "PROCESSES", 1)  # each imports OpenCV under emulation
    bundle = build(str(tinypose), "rpi4", "onnxruntime-fp32")
    workdir = f"/home/{emu.user}/with-pipeline"  # the other tests' board stays as it was
    add_device(entry(emu, "whole", workdir=workdir))
    try:
        versions = setup_device(find_device("whole"), more=pipeline_requirements())
    except ToolchainError as error:
        if os.environ.get(REQUIRE) == "1":
            raise
        pytest.skip(str(error))  # most often no network
    assert {"cv2", "msgspec", "onnxruntime"} <= set(versions)
    found, _ = stage_budget(bundle, "whole", threads=1, frames=1)
    assert (found.way, found.emulated, found.people) == ("python", True, 1.0)
    stages = ["preprocess", "network", "decode", "track", "other"]
    assert [one.stage for one in found.stages] == stages
    assert found.runtime_versions["python"].startswith("3.11")
