import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from edgepose.build import build
from edgepose.errors import ConfigError, UnsupportedModelError, UsageError
from edgepose.model_source import find_source
from edgepose.user_model import is_onnx_path, read_user_model
from edgepose.zoo import HeatmapDecoder
from tests.tiny_nets import HEATMAP_TOML, make_model, save_heatmap_net

EXAMPLES = Path(__file__).parent.parent / "examples"
RECIPES = ["onnxruntime-fp32", "ncnn-fp32", "ncnn-fp16"]


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return save_heatmap_net(tmp_path / "net.onnx", seed=21)


def test_only_a_name_that_ends_in_onnx_is_a_file() -> None:
    assert is_onnx_path("dir/net.onnx")
    assert not is_onnx_path("litepose-xs")


def test_the_toml_beside_a_file_says_what_the_graph_cannot(net: Path) -> None:
    net.with_suffix(".toml").write_text("trained = false\n" + HEATMAP_TOML)
    spec, trained = read_user_model(net)
    assert (spec.name, spec.family, spec.task) == ("net", "onnx", "top-down")
    assert isinstance(spec.decoder, HeatmapDecoder)
    assert spec.input is not None
    assert spec.input.fit == "crop"
    assert not trained


def test_a_file_without_a_toml_is_an_unknown_task_with_trained_weights(net: Path) -> None:
    spec, trained = read_user_model(net)
    assert (spec.task, spec.decoder, spec.input, trained) == ("unknown", None, None, True)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_shipped_examples_are_valid(path: Path, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path)
    (tmp_path / path.name).with_suffix(".onnx").touch()
    spec, trained = read_user_model((tmp_path / path.name).with_suffix(".onnx"))
    assert spec.decoder is not None
    assert trained


def test_a_file_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no file .*absent\.onnx"):
        build(str(tmp_path / "absent.onnx"))


def test_an_unknown_key_of_the_toml_is_named_with_the_valid_ones(net: Path) -> None:
    net.with_suffix(".toml").write_text(HEATMAP_TOML.replace("keypoints", "key_points"))
    with pytest.raises(ConfigError, match=r"net\.toml: unknown key 'key_points'.*keypoints"):
        build(str(net))


def test_weights_for_an_onnx_file_are_refused(net: Path) -> None:
    with pytest.raises(UsageError, match="holds its own weights"):
        build(str(net), weights="other.pth")


def test_weights_that_do_not_exist_are_named() -> None:
    with pytest.raises(UsageError, match=r"no weights file .*absent\.pth"):
        build("rtmpose-t", weights="absent.pth")


@pytest.mark.parametrize("line", ["height = 96", "width = 96"])
def test_an_input_that_is_not_the_toml_s_is_refused_with_both_sizes(net: Path, line: str) -> None:
    key = line.split()[0]
    lines = [line if text.startswith(key) else text for text in HEATMAP_TOML.splitlines()]
    net.with_suffix(".toml").write_text("\n".join(lines))
    with pytest.raises(ConfigError, match=r"\[1, 3, 64, 48\].*96") as caught:
        build(str(net), into="made")
    assert "TOML" in caught.value.hint
    assert not Path("made").exists()


def test_an_image_input_without_a_toml_is_fed_the_golden_images(net: Path) -> None:
    bundle = build(str(net))
    assert len(bundle.golden()) > 1
    assert bundle.manifest.model.input is not None
    assert (bundle.manifest.model.input.height, bundle.manifest.model.input.width) == (64, 48)
    assert bundle.manifest.proof.keypoints is None


def test_a_net_without_an_image_is_fed_seeded_noise(net: Path) -> None:
    shapes: dict[str, Any] = {"left": [1, 4, 4], "right": [1, 4, 4]}
    nodes = [
        helper.make_node("Sub", ["left", "right"], ["a"]),
        helper.make_node("Neg", ["a"], ["y"]),
    ]
    onnx.save(make_model(nodes, shapes, {"y": [1, 4, 4]}), "sub.onnx")
    bundle = build("sub.onnx")
    (case,) = bundle.golden()
    assert set(case.inputs) == {"left", "right"}
    assert case.inputs["left"].std() > 0.5
    assert np.abs(case.outputs["y"]).max() > 0.1, "equal inputs would hide that they were swapped"
    assert bundle.manifest.model.input is None


def test_images_for_a_net_without_an_image_are_refused(net: Path) -> None:
    Path("images").mkdir()
    nodes = [helper.make_node("Neg", ["x"], ["y"])]
    onnx.save(make_model(nodes, {"x": [1, 4]}, {"y": [1, 4]}), "neg.onnx")
    with pytest.raises(UsageError, match="images do not apply"):
        build("neg.onnx", golden="images")


def test_an_unsupported_file_leaves_nothing(net: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    onnx.save(make_model(nodes, {"x": ["n", 3]}, {"y": ["n", 3]}), "free.onnx")
    with pytest.raises(UnsupportedModelError, match="dynamic"):
        build("free.onnx")
    assert sorted(path.name for path in Path().iterdir()) == ["free.onnx", "net.onnx"]


def test_the_weights_of_a_zoo_model_are_trained_where_given_and_not_denied(tmp_path: Path) -> None:
    weights = tmp_path / "w.pth"
    weights.touch()
    assert not find_source("rtmpose-t", None, False).trained
    assert find_source("rtmpose-t", weights, False).trained
    assert not find_source("rtmpose-t", weights, True).trained


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", ["rtmdet-nano", "tinypose-256x192"])
def test_a_trained_model_of_the_papers_is_proven_in_key_point_space(
    shared_data: Path, tmp_path: Path, name: str, recipe: str
) -> None:
    shutil.copy(shared_data / "models" / f"{name}.onnx", tmp_path)
    shutil.copy(EXAMPLES / f"{name}.toml", tmp_path)
    bundle = build(str(tmp_path / f"{name}.onnx"), recipe=recipe, into=tmp_path / "made")
    proof = bundle.manifest.proof
    assert proof.passed
    assert proof.weights == "trained"
    assert proof.keypoints is not None
    assert proof.keypoints.n_points > 0
    assert proof.keypoints.oks > 0.97
