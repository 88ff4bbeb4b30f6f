"""The checker of graphs finds every blemish; else a clean bill from it would mean nothing."""

from typing import Any

import numpy as np
import pytest
from onnx import helper

from tests.graph.plain_graph import blemishes, shape_arithmetic
from tests.tiny_nets import make_model, normal

SHAPE = [1, 4, 8, 8]
WEIGHTS = {"w": normal(4, 4, 1, 1), "c": normal(4, 4, 1, 1)}
CONV = helper.make_node("Conv", ["x", "w"], ["a"], name="conv")
RELU = helper.make_node("Relu", ["a"], ["y"], name="relu")


def found(*nodes: Any, weights: Any = None, opset: int = 17, **settings: Any) -> str:
    held = {"w": WEIGHTS["w"]} if weights is None else weights
    model = make_model(nodes, {"x": SHAPE}, {"y": SHAPE}, held, **settings)
    return "; ".join(blemishes(model, opset))


def test_a_plain_graph_has_no_blemish() -> None:
    assert not found(CONV, RELU)


@pytest.mark.parametrize("kind", ["Identity", "Dropout", "Cast", "Slice", "Where", "Expand"])
def test_unwelcome_operators_are_found(kind: str) -> None:
    node = helper.make_node(kind, ["a"], ["y"], name="odd")
    assert found(CONV, node) == f"odd is a {kind}"


def test_shape_arithmetic_is_found_before_simplification_and_identities_are_not() -> None:
    nodes = [
        CONV,
        helper.make_node("Identity", ["a"], ["b"]),
        helper.make_node("Shape", ["b"], ["y"], name="shape"),
    ]
    model = make_model(nodes, {"x": SHAPE}, {"y": [4]}, WEIGHTS)
    assert shape_arithmetic(model) == ["shape is a Shape"]


def test_nodes_of_constants_are_found_with_those_that_follow_them() -> None:
    nodes = [
        helper.make_node("Neg", ["c"], ["d"], name="first"),
        helper.make_node("Exp", ["d"], ["e"], name="second"),
        helper.make_node("Conv", ["x", "e"], ["y"]),
    ]
    sentence = found(*nodes, weights={"c": WEIGHTS["c"]})
    assert "first, a Neg, reads only constants" in sentence
    assert "second, a Exp, reads only constants" in sentence


def test_a_constant_node_is_found() -> None:
    value = helper.make_tensor("value", 1, [1], [2.0])
    nodes = [
        CONV,
        helper.make_node("Constant", [], ["two"], name="constant", value=value),
        helper.make_node("Mul", ["a", "two"], ["y"]),
    ]
    assert found(*nodes) == "constant, a Constant, reads only constants"


@pytest.mark.parametrize("summed", [True, False])
def test_a_norm_behind_convolutions_is_found(summed: bool) -> None:
    source = "b" if summed else "a"
    norm = ["gamma", "beta", "mean", "var"]
    nodes = [
        CONV,
        helper.make_node("Conv", ["x", "c"], ["a2"]),
        helper.make_node("Add", ["a", "a2"], ["b"]),
        helper.make_node("BatchNormalization", [source, *norm], ["n"], name="norm"),
        helper.make_node("Add", ["n", "b"], ["y"]),
    ]
    weights = WEIGHTS | {name: np.ones(4, np.float32) for name in norm}
    assert found(*nodes, weights=weights) == "norm could be in the weights before it"


def test_a_norm_behind_another_operator_is_none() -> None:
    norm = ["gamma", "beta", "mean", "var"]
    nodes = [
        CONV,
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("BatchNormalization", ["b", *norm], ["y"]),
    ]
    weights = {"w": WEIGHTS["w"]} | {name: np.ones(4, np.float32) for name in norm}
    assert not found(*nodes, weights=weights)


def test_dead_nodes_and_weights_are_found() -> None:
    dead = helper.make_node("Relu", ["a"], ["z"], name="dead")
    sentence = found(CONV, RELU, dead, weights=WEIGHTS)
    assert "dead, a Relu, is read by none" in sentence
    assert "weight c is read by none" in sentence


def test_foreign_domains_and_other_opsets_are_found() -> None:
    foreign = helper.make_node("Relu", ["a"], ["y"], name="odd", domain="acme")
    assert "odd is of the domain acme" in found(CONV, foreign, domains=["acme"])
    assert "opset 13" in found(CONV, RELU, opset=13)
