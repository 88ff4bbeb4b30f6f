from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper

from edgepose.graph.check import read_graph
from edgepose.graph.fold import fold_batch_norms
from edgepose.graph.simplify import simplify
from tests.tiny_nets import make_model, normal, relative_error, run_unoptimised

Weights = dict[str, NDArray[Any]]
IMAGE = {"x": [1, 4, 8, 8]}
UP = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
NORM = helper.make_node("BatchNormalization", ["sum", "gamma", "beta", "mean", "var"], ["y"])


def norm_weights(channels: int, seed: int = 0) -> Weights:
    draw = np.random.default_rng(seed)
    return {
        "gamma": draw.normal(1, 0.5, channels).astype(np.float32),
        "beta": draw.normal(0, 1, channels).astype(np.float32),
        "mean": draw.normal(0, 1, channels).astype(np.float32),
        "var": draw.uniform(0.01, 3, channels).astype(np.float32),
    }


def operators(model: Any) -> list[str]:
    return [node.op_type for node in model.graph.node]


def outputs(model: Any, folder: Path, shape: Any = (1, 4, 8, 8)) -> Mapping[str, NDArray[Any]]:
    onnx.checker.check_model(model)
    onnx.save(model, str(folder / "net.onnx"))
    return run_unoptimised(folder / "net.onnx", {"x": normal(*shape, seed=9)})


def assert_folds(model: Any, folder: Path, shape: Any = (1, 4, 8, 8)) -> None:
    """Its only batch norm goes, every other operator stays, and the outputs stay equal."""
    before, left = outputs(model, folder, shape), operators(model)
    left.remove("BatchNormalization")
    assert fold_batch_norms(model) == 1
    assert operators(model) == left
    after = outputs(model, folder, shape)
    assert list(after) == list(before)
    assert max(relative_error(before[name], after[name]) for name in before) < 1e-5
    assert not {"gamma", "beta", "mean", "var"} & {
        tensor.name for tensor in model.graph.initializer
    }


def assert_stays(model: Any) -> None:
    """The batch norm stays, and not one byte of the model changes."""
    before = model.SerializeToString(deterministic=True)
    assert fold_batch_norms(model) == 0
    assert model.SerializeToString(deterministic=True) == before


def two_up(biased: bool, channels: int = 6, seed: int = 0, **attributes: Any) -> Any:
    """LitePose's head: a batch norm of the sum of two transposed convolutions."""
    weights = norm_weights(channels, seed)
    groups = attributes.get("group", 1)
    for name in ("a", "b"):
        weights[f"w{name}"] = normal(4, channels // groups, 4, 4, seed=seed + len(weights))
        if biased:
            weights[f"b{name}"] = normal(channels, seed=seed + len(weights))
    nodes = [
        helper.make_node(
            "ConvTranspose",
            [source, f"w{name}", *([f"b{name}"] if biased else [])],
            [name],
            **UP,
            **attributes,
        )
        for name, source in (("a", "x"), ("b", "positive"))
    ]
    nodes = [helper.make_node("Relu", ["x"], ["positive"]), *nodes]
    nodes += [helper.make_node("Add", ["a", "b"], ["sum"]), NORM]
    return make_model(nodes, IMAGE, {"y": [1, channels, 16, 16]}, weights)


def single(kind: str, shape: tuple[int, ...], out: list[int], **attributes: Any) -> Any:
    channels = out[1]
    weights = norm_weights(channels) | {"w": normal(*shape), "bias": normal(channels, seed=5)}
    nodes = [helper.make_node(kind, ["x", "w", "bias"], ["sum"], **attributes), NORM]
    return make_model(nodes, IMAGE, {"y": out}, weights)


@pytest.mark.parametrize("biased", [True, False])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_a_norm_of_two_summed_transposed_convolutions_is_folded(
    tmp_path_factory: pytest.TempPathFactory, biased: bool, seed: int
) -> None:
    assert_folds(two_up(biased, seed=seed), tmp_path_factory.mktemp("fold"))


def test_a_norm_behind_a_convolution_is_folded(tmp_path: Path) -> None:
    assert_folds(single("Conv", (6, 4, 1, 1), [1, 6, 8, 8]), tmp_path)


def test_a_norm_behind_a_grouped_convolution_is_folded(tmp_path: Path) -> None:
    assert_folds(single("Conv", (8, 1, 1, 1), [1, 8, 8, 8], group=4), tmp_path)


def test_a_norm_behind_a_transposed_convolution_is_folded(tmp_path: Path) -> None:
    assert_folds(single("ConvTranspose", (4, 6, 4, 4), [1, 6, 16, 16], **UP), tmp_path)


def test_a_norm_behind_one_dimensional_convolutions_is_folded(tmp_path: Path) -> None:
    weights = norm_weights(4) | {"w": normal(4, 4, 1), "v": normal(4, 4, 1, seed=1)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Conv", ["x", "v"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["sum"]),
        NORM,
    ]
    model = make_model(nodes, {"x": [1, 4, 8]}, {"y": [1, 4, 8]}, weights)
    assert_folds(model, tmp_path, (1, 4, 8))


def test_the_epsilon_of_the_norm_counts(tmp_path: Path) -> None:
    model = single("Conv", (6, 4, 1, 1), [1, 6, 8, 8])
    model.graph.node[1].attribute.append(helper.make_attribute("epsilon", 0.5))
    assert_folds(model, tmp_path)


def test_a_norm_stays_where_its_input_is_read_elsewhere() -> None:
    model = two_up(biased=False)
    model.graph.node.append(helper.make_node("Relu", ["sum"], ["z"]))
    assert_stays(model)


def test_a_norm_stays_where_its_input_is_an_output() -> None:
    model = two_up(biased=False)
    model.graph.output.append(helper.make_tensor_value_info("sum", 1, [1, 6, 16, 16]))
    assert_stays(model)


def test_a_norm_stays_where_one_summand_is_read_elsewhere() -> None:
    model = two_up(biased=False)
    model.graph.node.append(helper.make_node("Relu", ["a"], ["z"]))
    assert_stays(model)


def test_a_norm_stays_behind_grouped_transposed_convolutions() -> None:
    assert_stays(two_up(biased=False, group=2))


def test_a_norm_stays_where_two_convolutions_share_their_weights() -> None:
    model = two_up(biased=False)
    for node in model.graph.node:
        if node.output[0] == "b":
            node.input[1] = "wa"
    assert_stays(model)


@pytest.mark.parametrize("other", ["Relu", "Sigmoid"])
def test_a_norm_stays_behind_any_other_operator(other: str) -> None:
    nodes = [helper.make_node(other, ["x"], ["sum"]), NORM]
    assert_stays(make_model(nodes, IMAGE, {"y": IMAGE["x"]}, norm_weights(4)))


def test_a_norm_stays_where_a_summand_is_no_convolution() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Add", ["a", "x"], ["sum"]),
        NORM,
    ]
    weights = norm_weights(4) | {"w": normal(4, 4, 1, 1)}
    assert_stays(make_model(nodes, IMAGE, {"y": IMAGE["x"]}, weights))


@pytest.mark.parametrize("computed", ["mean", "w", "bias"])
def test_a_norm_stays_where_a_weight_is_computed(computed: str) -> None:
    model = single("Conv", (6, 4, 1, 1), [1, 6, 8, 8])
    for node in list(model.graph.node):
        for index, name in enumerate(node.input):
            if name == computed:
                node.input[index] = "computed"
    model.graph.node.insert(0, helper.make_node("Neg", [computed], ["computed"]))
    onnx.checker.check_model(model)
    assert_stays(model)


def test_only_the_norms_that_can_be_folded_are(tmp_path: Path) -> None:
    weights = norm_weights(4) | {"w": normal(4, 4, 1, 1)}
    names = ["gamma", "beta", "mean", "var"]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("BatchNormalization", ["a", *names], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("BatchNormalization", ["c", *names], ["y"]),
    ]
    model = make_model(nodes, IMAGE, {"y": IMAGE["x"]}, weights)
    before = outputs(model, tmp_path)
    assert fold_batch_norms(model) == 1
    assert operators(model) == ["Conv", "Relu", "BatchNormalization"]
    assert relative_error(before["y"], outputs(model, tmp_path)["y"]) < 1e-5


@pytest.mark.parametrize("biased", [True, False])
def test_simplify_leaves_no_norm_and_no_dead_weight_in_litepose_s_head(
    tmp_path: Path, biased: bool
) -> None:
    model = two_up(biased)
    before = outputs(model, tmp_path)
    simplify(tmp_path / "net.onnx", tmp_path / "simple.onnx")
    after = run_unoptimised(tmp_path / "simple.onnx", {"x": normal(1, 4, 8, 8, seed=9)})
    simple = onnx.load(str(tmp_path / "simple.onnx"))
    read = {name for node in simple.graph.node for name in node.input}
    assert "BatchNormalization" not in operators(simple)
    assert {tensor.name for tensor in simple.graph.initializer} <= read
    assert relative_error(before["y"], after["y"]) < 1e-5


def test_simplify_folds_the_norms_of_an_old_file_whose_weights_are_inputs_too(
    tmp_path: Path,
) -> None:
    nodes = [helper.make_node("ConvTranspose", ["x", name], [name[1]]) for name in ("wa", "wb")]
    nodes += [helper.make_node("Add", ["a", "b"], ["sum"]), NORM]
    weights = norm_weights(6) | {"wa": normal(4, 6, 1, 1), "wb": normal(4, 6, 1, 1, seed=1)}
    inputs = IMAGE | {name: list(array.shape) for name, array in weights.items()}
    model = make_model(nodes, inputs, {"y": [1, 6, 8, 8]}, weights, opset=7, ir_version=3)
    before = outputs(model, tmp_path)
    simplify(tmp_path / "net.onnx", tmp_path / "simple.onnx")
    after = run_unoptimised(tmp_path / "simple.onnx", {"x": normal(1, 4, 8, 8, seed=9)})
    assert "BatchNormalization" not in operators(onnx.load(str(tmp_path / "simple.onnx")))
    assert [tensor.name for tensor in read_graph(tmp_path / "simple.onnx", 17).inputs] == ["x"]
    assert relative_error(before["y"], after["y"]) < 1e-5


def test_a_norm_behind_what_a_branch_reads_too_stays() -> None:
    def branch(name: str, operator: str) -> Any:
        node = helper.make_node(operator, ["sum"], [name])
        output = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, IMAGE["x"])
        return helper.make_graph([node], name, [], [output])

    convolution = helper.make_node("Conv", ["x", "w"], ["sum"])
    either = helper.make_node(
        *("If", ["which"], ["z"]), then_branch=branch("a", "Relu"), else_branch=branch("b", "Neg")
    )
    weights = {"w": normal(4, 4, 1, 1), "which": np.array(True), **norm_weights(4)}
    outputs_of = {"y": IMAGE["x"], "z": IMAGE["x"]}
    assert_stays(make_model([convolution, NORM, either], IMAGE, outputs_of, weights))
