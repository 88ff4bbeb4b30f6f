from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import helper

from edgepose.graph.batch import free_batch
from edgepose.graph.check import read_graph
from tests.tiny_nets import make_model, normal, run_unoptimised, save_heatmap_net

SHAPE = [1, 4, 6, 8]


def written(folder: Path, *nodes: Any, weights: Any = None, into: Any = None) -> Path:
    """A net of ``nodes`` from x [1, 4, 6, 8] to y."""
    path = folder / "net.onnx"
    onnx.save(make_model(nodes, {"x": SHAPE}, {"y": into or SHAPE}, weights), str(path))
    return path


def freed(path: Path) -> Path | None:
    into = path.with_name("free.onnx")
    assert free_batch(read_graph(path, 17), into) == into.exists()
    return into if into.exists() else None


def run(path: Path, name: str, images: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs: list[NDArray[np.float32]] = session.run(None, {name: images})
    return outputs[0]


def assert_each_as_alone(path: Path, name: str, shape: list[int]) -> None:
    free = freed(path)
    assert free is not None
    for count in (1, 2, 5):
        images = normal(count, *shape[1:], seed=count)
        (output,) = zip(
            *(run_unoptimised(path, {name: one[None]}).values() for one in images), strict=True
        )
        np.testing.assert_allclose(run(free, name, images), np.concatenate(output), atol=1e-5)


def test_a_conv_net_takes_any_number_of_images(tmp_path: Path) -> None:
    assert_each_as_alone(save_heatmap_net(tmp_path / "net.onnx"), "input", [1, 3, 64, 48])


def test_shuffled_channels_stay_those_of_their_image(tmp_path: Path) -> None:
    weights = {"groups": np.array([1, 2, 2, 6, 8]), "back": np.array(SHAPE)}
    nodes = [
        helper.make_node("Reshape", ["x", "groups"], ["a"]),
        helper.make_node("Transpose", ["a"], ["b"], perm=[0, 2, 1, 3, 4]),
        helper.make_node("Reshape", ["b", "back"], ["y"]),
    ]
    assert_each_as_alone(written(tmp_path, *nodes, weights=weights), "x", SHAPE)


def test_a_constant_that_is_no_batch_elsewhere_stays_there(tmp_path: Path) -> None:
    weights = {"same": np.array(SHAPE), "ones": np.ones((4 * 6 * 8,), np.float32)}
    nodes = [
        helper.make_node("Reshape", ["ones", "same"], ["a"]),  # of no image
        helper.make_node("Reshape", ["x", "same"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    assert_each_as_alone(written(tmp_path, *nodes, weights=weights), "x", SHAPE)


def test_a_reshape_whose_zeros_are_sizes_is_freed_or_left_alone(tmp_path: Path) -> None:
    node = helper.make_node("Reshape", ["x", "shape"], ["y"], allowzero=1)
    weights = {"shape": np.array([1, -1, 48])}
    assert_each_as_alone(written(tmp_path, node, weights=weights, into=[1, 4, 48]), "x", SHAPE)


def test_a_weight_that_only_a_branch_reads_stays(tmp_path: Path) -> None:
    def branch(name: str, operator: str) -> Any:
        node = helper.make_node(operator, ["x", "w"], [name])
        output = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, SHAPE)
        return helper.make_graph([node], name, [], [output])

    node = helper.make_node(
        *("If", ["which"], ["y"]), then_branch=branch("a", "Add"), else_branch=branch("b", "Mul")
    )
    weights = {"which": np.array(True), "w": np.ones((1, 4, 1, 1), np.float32)}
    assert_each_as_alone(written(tmp_path, node, weights=weights), "x", SHAPE)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_enlarging_to_a_given_size_is_by_a_whole_scale(tmp_path: Path, mode: str) -> None:
    node = helper.make_node(
        *("Resize", ["x", "", "", "size"], ["y"]),
        mode=mode,
        coordinate_transformation_mode="half_pixel" if mode == "linear" else "asymmetric",
        **({} if mode == "linear" else {"nearest_mode": "floor"}),
    )
    into = [1, 4, 12, 24]
    path = written(tmp_path, node, weights={"size": np.array(into)}, into=into)
    assert_each_as_alone(path, "x", SHAPE)


def test_a_net_that_mixes_its_images_is_left_alone(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["a"]),
        helper.make_node("Add", ["a", "mean"], ["b"]),
        helper.make_node("Mul", ["b", "mean"], ["y"]),
    ]
    assert freed(written(tmp_path, *nodes)) is None


def test_a_net_whose_batch_is_in_its_shapes_is_left_alone(tmp_path: Path) -> None:
    nodes = [  # windows of an image in the place of images
        helper.make_node("Reshape", ["x", "windows"], ["a"]),
        helper.make_node("Softmax", ["a"], ["b"]),
        helper.make_node("Reshape", ["b", "back"], ["y"]),
    ]
    weights = {"windows": np.array([6, 4, 8]), "back": np.array(SHAPE)}
    assert freed(written(tmp_path, *nodes, weights=weights)) is None


def test_a_net_of_two_inputs_or_of_a_batch_is_left_alone(tmp_path: Path) -> None:
    add = helper.make_node("Add", ["x", "z"], ["y"])
    two = make_model([add], {"x": SHAPE, "z": SHAPE}, {"y": SHAPE})
    onnx.save(two, str(tmp_path / "net.onnx"))
    assert freed(tmp_path / "net.onnx") is None
    relu = helper.make_node("Relu", ["x"], ["y"])
    batch = make_model([relu], {"x": [4, *SHAPE[1:]]}, {"y": [4, *SHAPE[1:]]})
    onnx.save(batch, str(tmp_path / "net.onnx"))
    assert freed(tmp_path / "net.onnx") is None
