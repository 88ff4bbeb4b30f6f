from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from edgepose.errors import UnsupportedModelError
from edgepose.graph.check import count_weights, read_graph
from edgepose.graph.spec import TensorSpec
from tests.tiny_nets import make_model, normal, save_heatmap_net

SQUARE = {"x": [1, 3, 4, 4]}


def refused(model: Any, path: Path, max_opset: int = 17) -> str:
    """Save ``model``, read it, and return the sentence of the refusal, hint and all."""
    onnx.save(model, str(path))
    with pytest.raises(UnsupportedModelError) as caught:
        read_graph(path, max_opset)
    assert caught.value.hint
    assert str(path) in str(caught.value)
    return f"{caught.value} {caught.value.hint}"


def relu(inputs: dict[str, Any], outputs: dict[str, Any], **settings: Any) -> Any:
    return make_model([helper.make_node("Relu", ["x"], ["y"])], inputs, outputs, **settings)


def test_a_plain_graph_is_read_with_its_names_shapes_and_opset(tmp_path: Path) -> None:
    graph = read_graph(save_heatmap_net(tmp_path / "net.onnx"), 17)
    assert graph.opset == 17
    assert graph.inputs == (TensorSpec("input", (1, 3, 64, 48)),)
    assert graph.outputs == (TensorSpec("heatmaps", (1, 3, 16, 12)),)


def test_initializers_that_an_old_file_lists_as_inputs_are_no_inputs(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    inputs = {"x": [1, 3], "w": [1, 3]}
    model = make_model(nodes, inputs, {"y": [1, 3]}, {"w": normal(1, 3)}, ir_version=3)
    onnx.save(model, str(tmp_path / "old.onnx"))
    assert [tensor.name for tensor in read_graph(tmp_path / "old.onnx", 17).inputs] == ["x"]


@pytest.mark.parametrize("batch", ["batch", 0, -1])
def test_a_dynamic_shape_is_named_with_its_tensor(tmp_path: Path, batch: str | int) -> None:
    sentence = refused(relu({"x": [batch, 3, 4, 4]}, {"y": [batch, 3, 4, 4]}), tmp_path / "a.onnx")
    assert "'x'" in sentence
    assert "dynamic" in sentence
    assert not isinstance(batch, str) or batch in sentence


def test_a_dynamic_output_is_named_too(tmp_path: Path) -> None:
    assert "'y'" in refused(relu(SQUARE, {"y": [1, 3, 4, "width"]}), tmp_path / "a.onnx")


def test_operators_outside_the_standard_are_named(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("NMS", ["x"], ["a"], domain="mmdeploy"),
        helper.make_node("NMS", ["a"], ["b"], domain="mmdeploy"),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    model = make_model(nodes, SQUARE, {"y": SQUARE["x"]}, domains=["mmdeploy"])
    sentence = refused(model, tmp_path / "a.onnx")
    assert sentence.count("mmdeploy::NMS") == 1
    assert "Relu" not in sentence


def test_a_foreign_operator_inside_a_branch_is_found(tmp_path: Path) -> None:
    made = helper.make_tensor_value_info("made", TensorProto.FLOAT, SQUARE["x"])
    foreign = helper.make_node("Magic", ["x"], ["made"], domain="acme")
    branch = helper.make_graph([foreign], "branch", [], [made])
    always = helper.make_tensor("value", TensorProto.BOOL, [], [True])
    nodes = [
        helper.make_node("Constant", [], ["always"], value=always),
        helper.make_node("If", ["always"], ["y"], then_branch=branch, else_branch=branch),
    ]
    model = make_model(nodes, SQUARE, {"y": SQUARE["x"]}, domains=["acme"])
    assert "acme::Magic" in refused(model, tmp_path / "a.onnx")


def test_an_unknown_standard_operator_is_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("Teleport", ["x"], ["y"])]
    assert "Teleport" in refused(make_model(nodes, SQUARE, {"y": SQUARE["x"]}), tmp_path / "a.onnx")


def test_an_opset_above_the_ceiling_is_named_with_the_ceiling(tmp_path: Path) -> None:
    model = relu(SQUARE, {"y": SQUARE["x"]}, opset=17)
    sentence = refused(model, tmp_path / "a.onnx", max_opset=13)
    assert "opset 17" in sentence
    assert "opset_version=13" in sentence
    assert read_graph(tmp_path / "a.onnx", 17).opset == 17


@pytest.mark.parametrize("files_are_there", [True, False])
def test_weights_in_other_files_are_refused(tmp_path: Path, files_are_there: bool) -> None:
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    model = make_model(nodes, {"x": [64, 64]}, {"y": [64, 64]}, {"w": normal(64, 64)})
    onnx.save(
        model,
        str(tmp_path / "a.onnx"),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    if not files_are_there:
        (tmp_path / "weights.bin").unlink()
    with pytest.raises(UnsupportedModelError, match="weights in other files") as caught:
        read_graph(tmp_path / "a.onnx", 17)
    assert "one file" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x00" * 100])
def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(UnsupportedModelError, match=r"a\.onnx is not a valid ONNX file") as caught:
        read_graph(tmp_path / "a.onnx", 17)
    assert caught.value.hint


def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    whole = save_heatmap_net(tmp_path / "a.onnx").read_bytes()
    for length in range(0, len(whole), 97):
        (tmp_path / "a.onnx").write_bytes(whole[:length])
        with pytest.raises(UnsupportedModelError):
            read_graph(tmp_path / "a.onnx", 17)


@pytest.mark.parametrize("kind", ["FLOAT16", "INT64", "DOUBLE"])
def test_a_tensor_that_is_not_float32_is_named_with_its_type(tmp_path: Path, kind: str) -> None:
    model = relu(SQUARE, {"y": SQUARE["x"]})
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.DataType.Value(kind)
    sentence = refused(model, tmp_path / "a.onnx")
    assert "'x'" in sentence
    assert kind in sentence


def test_a_graph_without_inputs_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["w"], ["y"])]
    model = make_model(nodes, {}, {"y": [2, 2]}, {"w": normal(2, 2)})
    assert "no input" in refused(model, tmp_path / "a.onnx")


def test_only_float_weights_are_counted(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node("Add", ["flat", "w"], ["y"]),
    ]
    weights = {"shape": onnx.numpy_helper.to_array(helper.make_tensor("s", 7, [2], [1, 48]))}
    model = make_model(nodes, SQUARE, {"y": [1, 48]}, weights | {"w": normal(1, 48)})
    onnx.save(model, str(tmp_path / "a.onnx"))
    assert count_weights(tmp_path / "a.onnx") == 48
