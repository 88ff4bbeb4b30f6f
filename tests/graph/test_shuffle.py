from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from edgepose.graph.shuffle import shuffles_as_convolutions
from tests.tiny_nets import make_model, normal, run_unoptimised

SHAPE = [1, 6, 4, 5]


def shuffle(parts: list[int], order: list[int]) -> Any:
    """A net that shuffles twice: the channels of x to y."""
    weights = {"parts": np.array(parts), "back": np.array(SHAPE)}
    nodes = [
        node
        for source, into in (("x", "between"), ("between", "y"))
        for node in (
            helper.make_node("Reshape", [source, "parts"], [f"{into}.a"]),
            helper.make_node("Transpose", [f"{into}.a"], [f"{into}.b"], perm=order),
            helper.make_node("Reshape", [f"{into}.b", "back"], [into]),
        )
    ]
    return make_model(nodes, {"x": SHAPE}, {"y": SHAPE}, weights)


def written(model: Any, folder: Path) -> tuple[int, list[str]]:
    """How many shuffles were replaced, and the operators then; outputs are the same bits."""
    before, after = folder / "before.onnx", folder / "after.onnx"
    onnx.save(model, str(before))
    count = shuffles_as_convolutions(before, after)
    onnx.checker.check_model(str(after))
    x = {"x": normal(*SHAPE)}
    for wanted, found in zip(
        run_unoptimised(before, x).values(), run_unoptimised(after, x).values(), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)
    return count, [node.op_type for node in onnx.load(str(after)).graph.node]


@pytest.mark.parametrize("groups", [2, 3])
@pytest.mark.parametrize("cells", [[20], [4, 5]])
def test_shuffles_become_convolutions_with_the_same_outputs(
    tmp_path: Path, groups: int, cells: list[int]
) -> None:
    order = [0, 2, 1, *range(3, 3 + len(cells))]
    model = shuffle([1, groups, 6 // groups, *cells], order)
    assert written(model, tmp_path) == (2, ["Conv", "Conv"])
    left = onnx.load(str(tmp_path / "after.onnx")).graph.initializer
    assert [tensor.name for tensor in left] == [f"shuffle.6.{groups}"]


def test_what_moves_cells_as_well_stays(tmp_path: Path) -> None:
    count, operators = written(shuffle([1, 2, 3, 4, 5], [0, 2, 1, 4, 3]), tmp_path)
    assert (count, "Conv" in operators) == (0, False)
    count, operators = written(shuffle([1, 3, 4, 10], [0, 2, 1, 3]), tmp_path)
    assert (count, "Conv" in operators) == (0, False)


def test_a_shuffle_whose_inside_is_read_elsewhere_stays(tmp_path: Path) -> None:
    model = shuffle([1, 2, 3, 20], [0, 2, 1, 3])
    inside = helper.make_tensor_value_info("y.b", onnx.TensorProto.FLOAT, [1, 3, 2, 20])
    model.graph.output.append(inside)
    count, operators = written(model, tmp_path)
    assert (count, operators.count("Transpose")) == (1, 1)
