"""What must not be left in a graph that a compiler gets."""

from collections.abc import Iterator
from typing import Any

# Traced shape arithmetic and control flow, which edge compilers refuse or run on the CPU.
SHAPE_ARITHMETIC = {
    *("Shape", "Size", "Gather", "Slice", "ConstantOfShape", "Range", "Expand", "Where", "Cast"),
    *("NonZero", "Tile", "ScatterND", "Einsum", "If", "Loop", "Scan"),
}


def blemishes(model: Any, opset: int) -> list[str]:
    """Sentences about the onnx.ModelProto ``model``; none for a plain graph at ``opset``."""
    return [
        *shape_arithmetic(model),
        *_nothing_done(model.graph),
        *_foldable(model.graph),
        *_dead(model.graph),
        *_foreign(model, opset),
    ]


def shape_arithmetic(model: Any) -> list[str]:
    """What no simplification takes away: it depends on the input."""
    constant = {node.output[0] for node in _constant_nodes(model.graph)}
    return [
        f"{node.name} is a {node.op_type}"
        for node in model.graph.node
        if node.op_type in SHAPE_ARITHMETIC and node.output[0] not in constant
    ]


def _constant_nodes(graph: Any) -> list[Any]:
    """The nodes whose every input is a weight, a constant or computed of such."""
    constants = {tensor.name for tensor in graph.initializer}
    found = []
    for node in graph.node:
        if all(name in constants for name in node.input if name):  # a Constant has no input
            constants.update(node.output)
            found.append(node)
    return found


def _nothing_done(graph: Any) -> Iterator[str]:
    producers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type in ("Identity", "Dropout"):
            yield f"{node.name} is a {node.op_type}"
        if node.op_type == "BatchNormalization" and _linear(node.input[0], producers):
            yield f"{node.name} could be in the weights before it"


def _foldable(graph: Any) -> Iterator[str]:
    for node in _constant_nodes(graph):
        yield f"{node.name}, a {node.op_type}, reads only constants"


def _dead(graph: Any) -> Iterator[str]:
    wanted = {name for node in graph.node for name in node.input}
    wanted |= {value.name for value in graph.output}
    for node in graph.node:
        if not wanted.intersection(node.output):
            yield f"{node.name}, a {node.op_type}, is read by none"
    for tensor in graph.initializer:
        if tensor.name not in wanted:
            yield f"weight {tensor.name} is read by none"


def _linear(name: str, producers: dict[str, Any]) -> bool:
    """Whether ``name`` is a convolution's output, or a sum of such outputs."""
    node = producers.get(name)
    if node is None:
        return False
    if node.op_type == "Add":
        return all(_linear(source, producers) for source in node.input)
    return node.op_type in ("Conv", "ConvTranspose")


def _foreign(model: Any, opset: int) -> Iterator[str]:
    for node in model.graph.node:
        if node.domain:
            yield f"{node.name} is of the domain {node.domain}"
    versions = [(item.domain, item.version) for item in model.opset_import]
    if versions != [("", opset)]:
        yield f"it imports {versions} instead of opset {opset}"
