"""Small ONNX files for tests that need a graph and not a real model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int | str]

HEATMAP_TOML = """\
task = "top-down"
keypoints = 3

[input]
height = 64
width = 48
fit = "crop"

[decoder]
kind = "heatmap"
"""


def make_model(
    nodes: Sequence[Any],
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
    weights: Mapping[str, NDArray[Any]] | None = None,
    *,
    opset: int = 17,
    ir_version: int = 8,
    domains: Sequence[str] = (),
) -> Any:
    """An onnx.ModelProto of float32 tensors."""
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, s) for name, s in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, s) for name, s in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=ir_version)


def normal(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Normal noise, the same at every call."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def save_heatmap_net(
    path: Path, *, seed: int = 0, output: str = "heatmaps", channels: int = 8
) -> Path:
    """A conv net from ``input`` [1, 3, 64, 48] to three heatmaps [1, 3, 16, 12]."""
    weights = {
        "w1": normal(channels, 3, 3, 3, seed=seed),
        "w2": normal(channels, channels, 3, 3, seed=seed + 1) / channels,
        "w3": normal(3, channels, 1, 1, seed=seed + 2),
    }
    halve = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["input", "w1"], ["a"], **halve),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], **halve),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Conv", ["d", "w3"], [output]),
    ]
    shapes = {"input": [1, 3, 64, 48]}, {output: [1, 3, 16, 12]}
    onnx.save(make_model(nodes, *shapes, weights), str(path))
    return path


def run_unoptimised(
    path: Path, inputs: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """Outputs by name of the file as it stands: onnxruntime with no optimisation."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def relative_error(reference: NDArray[Any], output: NDArray[Any]) -> float:
    """max|y - r| / max|r|."""
    assert reference.shape == output.shape
    return float(np.abs(output - reference).max() / np.abs(reference).max())
