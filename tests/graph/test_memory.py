from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from edgepose.graph.memory import graph_cost
from tests.tiny_nets import make_model, normal, save_heatmap_net

SIDE = 4 * 8 * 8 * 4  # bytes of a float32 tensor [1, 4, 8, 8]
SHAPE = [1, 4, 8, 8]


def peak(path: Path, *nodes: Any, outputs: tuple[str, ...] = ("y",)) -> tuple[int, str]:
    model = make_model(nodes, {"x": SHAPE}, dict.fromkeys(outputs, SHAPE))
    onnx.save(model, str(path / "net.onnx"))
    cost = graph_cost(path / "net.onnx")
    return cost.peak_bytes // SIDE, cost.peak_at


def relu(source: str, target: str) -> Any:
    return helper.make_node("Relu", [source], [target], name=f"make-{target}")


def test_a_chain_needs_the_input_and_the_output_of_one_node(tmp_path: Path) -> None:
    chain = [relu("x", "a"), relu("a", "b"), relu("b", "y")]
    assert peak(tmp_path, *chain) == (2, "Relu make-a")


def test_a_tensor_lives_until_its_last_reader(tmp_path: Path) -> None:
    join = helper.make_node("Add", ["b", "x"], ["y"], name="join")
    assert peak(tmp_path, relu("x", "a"), relu("a", "b"), join) == (3, "Relu make-b")


def test_an_output_lives_to_the_end(tmp_path: Path) -> None:
    chain = [relu("x", "early"), relu("early", "a"), relu("a", "b"), relu("b", "y")]
    assert peak(tmp_path, *chain, outputs=("early", "y"))[0] == 3


def test_an_output_that_none_reads_is_held_while_it_is_made_only(tmp_path: Path) -> None:
    split = helper.make_node("Split", ["x"], ["a", "unread"], axis=1, name="split")
    join = helper.make_node("Concat", ["a", "a"], ["y"], axis=1)
    assert peak(tmp_path, split, join) == (2, "Split split")


def test_weights_are_counted_by_themselves_in_their_own_types(tmp_path: Path) -> None:
    weights = {"w": normal(4, 4, 1, 1), "shape": np.array([1, 256], np.int64)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Reshape", ["a", "shape"], ["y"]),
    ]
    model = make_model(nodes, {"x": SHAPE}, {"y": [1, 256]}, weights)
    onnx.save(model, str(tmp_path / "net.onnx"))
    cost = graph_cost(tmp_path / "net.onnx")
    assert cost.weight_bytes == 16 * 4 + 2 * 8
    assert cost.peak_bytes == 2 * SIDE


def test_operators_are_counted_the_most_frequent_first(tmp_path: Path) -> None:
    cost = graph_cost(save_heatmap_net(tmp_path / "net.onnx"))
    assert list(cost.operators.items()) == [("Conv", 3), ("Relu", 2)]
