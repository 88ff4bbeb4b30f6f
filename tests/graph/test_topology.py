"""What changes the key of tuning records, and what does not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from edgepose.graph.topology import topology_hash
from tests.tiny_nets import make_model, normal, save_heatmap_net

Change = Callable[[Any], None]


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return save_heatmap_net(tmp_path / "net.onnx")


def changed(net: Path, change: Change) -> str:
    model = onnx.load(str(net))
    change(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(net.with_name("changed.onnx")))
    return topology_hash(net.with_name("changed.onnx"))


def with_settings(path: Path, high: float, sizes: list[int]) -> str:
    """Hash of a net whose bound and shape are inputs of its operators."""
    nodes = [
        helper.make_node("Clip", ["x", "low", "high"], ["a"]),
        helper.make_node("Reshape", ["a", "sizes"], ["y"]),
    ]
    weights = {"low": np.float32(0), "high": np.float32(high), "sizes": np.array(sizes, np.int64)}
    model = make_model(nodes, {"x": [1, 4, 2, 2]}, {"y": [1, *sizes[1:]]}, weights)
    onnx.save(model, str(path))
    return topology_hash(path)


def test_other_weights_give_the_same_hash(net: Path, tmp_path: Path) -> None:
    other = save_heatmap_net(tmp_path / "other.onnx", seed=5)
    assert other.read_bytes() != net.read_bytes()
    assert topology_hash(other) == topology_hash(net)


def test_other_names_give_the_same_hash(net: Path) -> None:
    def rename(model: Any) -> None:
        graph = model.graph
        graph.name = "renamed"
        for tensor in [*graph.input, *graph.output, *graph.initializer]:
            tensor.name = f"/new/{tensor.name}"
        for index, node in enumerate(graph.node):
            node.name = f"node_{index}"
            for names in (node.input, node.output):
                names[:] = [f"/new/{name}" for name in names]

    assert changed(net, rename) == topology_hash(net)


def test_a_constant_node_is_a_weight_like_any_other(tmp_path: Path) -> None:
    def save(seed: int) -> str:
        value = onnx.numpy_helper.from_array(normal(1, 3, 8, 8, seed=seed))
        nodes = [
            helper.make_node("Constant", [], ["c"], value=value),
            helper.make_node("Add", ["x", "c"], ["y"]),
        ]
        shapes = {"x": [1, 3, 8, 8]}, {"y": [1, 3, 8, 8]}
        onnx.save(make_model(nodes, *shapes), str(tmp_path / "net.onnx"))
        return topology_hash(tmp_path / "net.onnx")

    assert save(0) == save(1)


def stride(model: Any) -> None:
    model.graph.node[0].attribute[0].ints[:] = [1, 1]


def operator(model: Any) -> None:
    model.graph.node[1].op_type = "Sigmoid"


def input_shape(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 96


def weight_shape(model: Any) -> None:
    weight = onnx.numpy_helper.from_array(normal(4, 8, 1, 1), "w3")
    model.graph.initializer[2].CopyFrom(weight)


def wiring(model: Any) -> None:
    model.graph.node[2].input[0] = "a"


def output(model: Any) -> None:
    model.graph.output.append(helper.make_tensor_value_info("d", 1, [1, 8, 16, 12]))


def opset(model: Any) -> None:
    model.opset_import[0].version = 18


@pytest.mark.parametrize(
    "change", [stride, operator, input_shape, weight_shape, wiring, output, opset]
)
def test_another_computation_gives_another_hash(net: Path, change: Change) -> None:
    assert changed(net, change) != topology_hash(net)


def test_bounds_and_shapes_count_although_they_are_tensors(tmp_path: Path) -> None:
    hashes = {
        with_settings(tmp_path / "net.onnx", high, sizes)
        for high in (6, 20)
        for sizes in ([1, 16], [1, 4, 4])
    }
    assert len(hashes) == 4
