"""OpenVINO through every command that a user would try it with: real nets, nothing replaced."""

import json
import re
import shutil
from pathlib import Path

import pytest

from edgepose.bundle import load_bundle
from tests.cli.conftest import Edgepose
from tests.tiny_bundles import save_tiny_model
from tests.trained_model import EXAMPLES


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPOSE_DATA", str(tmp_path / "data"))


def test_four_people_are_found_in_bf16_and_scored(
    edgepose: Edgepose, shared_data: Path, tmp_path: Path
) -> None:
    for name in ("tinypose-256x192", "rtmdet-nano"):
        shutil.copy(shared_data / "models" / f"{name}.onnx", tmp_path)
        shutil.copy(EXAMPLES / f"{name}.toml", tmp_path)
    nets = ("tinypose-256x192.onnx", "--detector", "rtmdet-nano.onnx", "--recipe", "openvino-bf16")
    images = shared_data / "images"
    done = edgepose("run", images / "000000196141.jpg", "--model", *nets, "--save", "out.json")
    assert done.returncode == 0, done.stderr
    assert re.search(r"(?m)^people +4 ", done.stdout)
    where = ("--images", images, "--annotations", images / "test_coco.json")
    done = edgepose("eval", *nets, "--dataset", "coco", *where, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["value"] >= 0.80
    assert told["precision"] == "bf16"
    assert told["computed_in"] in ("bf16", "fp32")
    assert ("computed in fp32" in done.stderr) == (told["computed_in"] == "fp32")


def test_a_bundle_is_built_verified_timed_and_profiled(edgepose: Edgepose, tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path)
    done = edgepose("build", model, "--recipe", "openvino-fp32")
    assert done.returncode == 0, done.stderr
    folder = Path("build/tiny/host-openvino-fp32")
    assert load_bundle(folder).manifest.toolchain["openvino"]
    assert edgepose("verify", folder).returncode == 0
    (record,) = json.loads(edgepose("bench", folder, "--profile", "paper", "--json").stdout)
    assert (record["precision"], record["computed_in"]) == ("fp32", "fp32")
    assert record["runtime_versions"]["openvino"]
    done = edgepose("profile", folder)
    assert done.returncode == 0, done.stderr
    assert "mean ms" in done.stdout and "Convolution" in done.stdout
    assert "layers, means of all passes: " in done.stdout
    stages = json.loads(edgepose("profile", folder, "--stages", "--passes", "5", "--json").stdout)
    assert {"preprocess", "network", "decode"} <= {each["stage"] for each in stages["stages"]}


def test_it_races_the_other_engines(edgepose: Edgepose, tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path, channels=64)
    recipes = ("openvino-fp32", "onnxruntime-fp32")
    words = (word for name in recipes for word in ("--recipe", name))
    done = edgepose("race", model, *words, "--budget", "10s")
    assert done.returncode in (0, 7), done.stderr  # refused where this machine is busy
    assert {line.split()[0] for line in done.stdout.splitlines()[2:4]} == set(recipes)
