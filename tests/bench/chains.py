"""Nets of equal layers: twice as many take twice as long."""

from pathlib import Path

import onnx
from onnx import helper

from edgepose import build
from edgepose.bundle import Bundle
from tests.tiny_nets import make_model, normal


def build_chain(folder: Path, layers: int, *, width: int = 24) -> Bundle:
    """A net of equal convolutions on [1, 3, 24, ``width``]."""
    folder.mkdir()
    weights = {"widen": normal(48, 3, 1, 1) / 2, "narrow": normal(3, 48, 1, 1) / 7}
    nodes = [helper.make_node("Conv", ["input", "widen"], ["x0"])]
    for index in range(layers):
        weights[f"w{index}"] = normal(48, 48, 3, 3, seed=index) / 20
        words = [f"x{index}", f"w{index}"], [f"x{index + 1}"]
        nodes.append(helper.make_node("Conv", *words, pads=[1, 1, 1, 1]))
    nodes.append(helper.make_node("Conv", [f"x{layers}", "narrow"], ["maps"]))
    shape = [1, 3, 24, width]
    path = folder / "chain.onnx"
    onnx.save(make_model(nodes, {"input": shape}, {"maps": shape}, weights), str(path))
    return build(str(path), into=folder / "bundle")
