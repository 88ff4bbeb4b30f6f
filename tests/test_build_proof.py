"""A build whose outputs are not the model's ends without a bundle."""

from pathlib import Path

import onnx
import pytest
from onnx import helper

import edgepose
from edgepose.build import build
from edgepose.bundle import load_bundle
from edgepose.errors import EdgePoseError, ProofError
from tests.own_cache import own_cache
from tests.tiny_nets import HEATMAP_TOML, make_model, save_heatmap_net

RECIPES = Path(edgepose.__file__).parent.parent / "recipes"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's working folder whose recipe ncnn-fp16 asks for the impossible."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEPOSE_CACHE", own_cache(tmp_path / "cache"))
    save_heatmap_net(tmp_path / "net.onnx")
    (tmp_path / "net.toml").write_text(HEATMAP_TOML)
    shipped = (RECIPES / "ncnn-fp16.toml").read_text()
    assert "max_relative_error = 0.15" in shipped
    strict = shipped.replace("max_relative_error = 0.15", "max_relative_error = 1e-9")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "ncnn-fp16.toml").write_text(strict)
    return tmp_path


def bundles_left(project: Path) -> list[Path]:
    return [path for path in project.rglob("*") if path.name in ("manifest.json", "runner.pyz")]


def test_a_failed_proof_names_its_figures_and_leaves_nothing(project: Path) -> None:
    with pytest.raises(ProofError) as caught:
        build("net.onnx", recipe="ncnn-fp16", into="one")
    sentence = str(caught.value)
    assert "net for host (ncnn-fp16) is not proven" in sentence
    assert "output 'heatmaps': max relative error" in sentence
    assert "exceeds 1e-09" in sentence
    assert "higher precision" in caught.value.hint
    assert not (project / "one").exists()
    assert not bundles_left(project)


def test_a_failed_proof_leaves_the_bundle_that_was_there(project: Path) -> None:
    first = build("net.onnx", into="one")
    with pytest.raises(ProofError):
        build("net.onnx", recipe="ncnn-fp16", into="one")
    assert load_bundle("one").manifest == first.manifest


def test_an_unproven_bundle_is_marked_so_and_never_passes_for_a_proven_one(project: Path) -> None:
    bundle = build("net.onnx", recipe="ncnn-fp16", into="one", allow_unproven=True)
    proof = load_bundle("one").manifest.proof
    assert proof == bundle.manifest.proof
    assert not proof.passed
    assert "exceeds 1e-09" in proof.failures[0]
    for place in ("one", "two"):
        with pytest.raises(ProofError, match="exceeds 1e-09"):
            build("net.onnx", recipe="ncnn-fp16", into=place)
    assert not (project / "two").exists()


def test_key_points_are_gated_too(project: Path) -> None:
    path = project / "recipes" / "ncnn-fp16.toml"
    shipped = (RECIPES / "ncnn-fp16.toml").read_text()
    assert "min_oks = 0.98" in shipped
    path.write_text(shipped.replace("min_oks = 0.98", "min_oks = 1.5"))  # more than equal
    with pytest.raises(ProofError, match=r"key points: similarity of [01]\.\d{4} is below 1\.5"):
        build("net.onnx", recipe="ncnn-fp16")
    assert build("net.onnx", recipe="ncnn-fp16", untrained=True).manifest.proof.keypoints is None


def test_a_net_that_the_converter_turns_into_another_one_is_not_proven(project: Path) -> None:
    """pnnx drops the axis of a norm over the last dimension of a rank-3 input, silently."""
    shape = [1, 17, 64]
    nodes = [
        helper.make_node("ReduceL2", ["x"], ["n"], axes=[2], keepdims=1),
        helper.make_node("Div", ["x", "n"], ["y"]),
    ]
    onnx.save(make_model(nodes, {"x": shape}, {"y": shape}), str(project / "norm.onnx"))
    assert build("norm.onnx", recipe="onnxruntime-fp32").manifest.proof.passed
    with pytest.raises(ProofError, match=r"output 'y': max relative error .* exceeds 0\.0005"):
        build("norm.onnx", recipe="ncnn-fp32")


def test_a_net_whose_output_changes_its_size_leaves_no_bundle(project: Path) -> None:
    node = helper.make_node("ReduceLogSum", ["x"], ["y"], axes=[3])  # pnnx leaves it out
    model = make_model([node], {"x": [1, 3, 16, 16]}, {"y": [1, 3, 16, 1]})
    onnx.save(model, str(project / "log.onnx"))
    with pytest.raises(EdgePoseError, match="converted wrongly"):
        build("log.onnx", recipe="ncnn-fp32", into="one", allow_unproven=True)
    assert not bundles_left(project)
