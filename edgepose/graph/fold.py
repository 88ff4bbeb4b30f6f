"""Fold batch norms that exporters leave behind: those after a sum of linear operators.

LitePose adds two transposed convolutions before one batch norm. With scale s = gamma / sqrt(var +
eps): BN(a + b) = s·a + s·b + (beta - s·mean), and s moves into the weights of a and b.
"""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose.graph.edit import readers


def fold_batch_norms(model: Any) -> int:
    """Fold in place every BatchNormalization behind (sums of) Conv and ConvTranspose.

    ``model`` is an onnx.ModelProto with static shapes. Returns how many were folded; one whose
    input has other readers or comes from another operator, or whose weights are computed, stays.
    """
    graph = model.graph
    folded = 0
    for norm in [node for node in graph.node if node.op_type == "BatchNormalization"]:
        producers = {name: node for node in graph.node for name in node.output}
        leaves = _linear_leaves(norm.input[0], producers, readers(graph))
        constants = {tensor.name for tensor in graph.initializer}
        needed = {*norm.input[1:5], *(name for leaf in leaves for name in leaf.input[1:])}
        if leaves and needed <= constants:
            _fold_one(graph, norm, leaves)
            folded += 1
    return folded


def _linear_leaves(name: str, producers: dict[str, Any], reads: Counter[str]) -> list[Any]:
    """Convolutions whose sum is the tensor ``name``; empty where it is anything else."""
    node = producers.get(name)
    if node is None or reads[name] != 1:
        return []
    if node.op_type in ("Conv", "ConvTranspose"):
        shared = reads[node.input[1]] != 1 or (len(node.input) > 2 and reads[node.input[2]] != 1)
        grouped = any(item.name == "group" and item.i != 1 for item in node.attribute)
        return [] if shared or (grouped and node.op_type == "ConvTranspose") else [node]
    if node.op_type != "Add":
        return []
    parts = [_linear_leaves(source, producers, reads) for source in node.input]
    return [leaf for part in parts for leaf in part] if all(parts) else []


def _fold_one(graph: Any, norm: Any, leaves: list[Any]) -> None:
    from onnx import numpy_helper

    tensors = {tensor.name: tensor for tensor in graph.initializer}

    def value(name: str) -> NDArray[Any]:
        array: NDArray[Any] = numpy_helper.to_array(tensors[name])
        return array

    def store(name: str, array: NDArray[Any]) -> None:
        tensor = numpy_helper.from_array(array.astype(np.float32), name)
        if name in tensors:
            tensors[name].CopyFrom(tensor)
        else:
            graph.initializer.append(tensor)

    gamma, beta, mean, variance = (value(name).astype(np.float64) for name in norm.input[1:5])
    epsilon = next((item.f for item in norm.attribute if item.name == "epsilon"), 1e-5)
    scale = gamma / np.sqrt(variance + epsilon)
    shift = beta - scale * mean
    for index, leaf in enumerate(leaves):
        weight = value(leaf.input[1]).astype(np.float64)
        axis = 1 if leaf.op_type == "ConvTranspose" else 0  # where the output channels lie
        others = [i for i in range(weight.ndim) if i != axis]
        store(leaf.input[1], weight * np.expand_dims(scale, others))
        bias = scale * value(leaf.input[2]) if len(leaf.input) > 2 else np.zeros_like(scale)
        if index == 0:
            bias = bias + shift
        if bias.any():
            name = leaf.input[2] if len(leaf.input) > 2 else f"{leaf.input[1]}.folded_bias"
            store(name, bias)
            if len(leaf.input) == 2:
                leaf.input.append(name)
    target, source = norm.output[0], norm.input[0]
    unused = list(norm.input[1:5])
    graph.node.remove(norm)
    for node in graph.node:
        for index, name in enumerate(node.output):
            if name == source:
                node.output[index] = target
    still_read = {name for node in graph.node for name in node.input}
    for name in unused:
        if name in tensors and name not in still_read:
            graph.initializer.remove(tensors[name])
