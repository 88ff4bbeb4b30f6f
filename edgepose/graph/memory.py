"""What an ONNX file says about its cost: operators, bytes of weights, peak of the activations."""

from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

import msgspec


class GraphCost(msgspec.Struct, frozen=True):
    """``peak_bytes`` is that of the live activations, met first at the node ``peak_at``."""

    operators: dict[str, int]
    weight_bytes: int
    peak_bytes: int
    peak_at: str


def graph_cost(path: Path) -> GraphCost:
    """The cost of the plain graph in ``path`` (static shapes), run in the order of its nodes.

    A tensor lives from the node that makes it to its last reader; inputs live from the start and
    outputs to the end. Every tensor has memory of its own: no operator works in place. A runtime
    that shares buffers needs less, one that packs, pads or unrolls needs more; weights and scratch
    memory are not in it.
    """
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)), strict_mode=True)
    graph = model.graph
    peak_bytes, peak_at = _peak(graph)
    return GraphCost(
        operators=dict(Counter(node.op_type for node in graph.node).most_common()),
        weight_bytes=sum(
            prod(tensor.dims) * _item_bytes(tensor.data_type) for tensor in graph.initializer
        ),
        peak_bytes=peak_bytes,
        peak_at=peak_at,
    )


def _peak(graph: Any) -> tuple[int, str]:
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    sizes = {value.name: _bytes(value) for value in (*inputs, *graph.value_info, *graph.output)}
    last_reader = {name: index for index, node in enumerate(graph.node) for name in node.input}
    last_reader |= {value.name: len(graph.node) for value in graph.output}
    live = {value.name for value in inputs}
    peak, peak_at = 0, ""
    for index, node in enumerate(graph.node):
        live |= {name for name in node.output if name}
        held = sum(sizes[name] for name in live)
        if held > peak:
            peak, peak_at = held, f"{node.op_type} {node.name}".rstrip()
        live = {name for name in live if last_reader.get(name, index) > index}
    return peak, peak_at


def _bytes(value: Any) -> int:
    tensor = value.type.tensor_type
    shape: list[int] = [dim.dim_value for dim in tensor.shape.dim]
    return prod(shape) * _item_bytes(tensor.elem_type)


def _item_bytes(kind: int) -> int:
    from onnx.helper import tensor_dtype_to_np_dtype

    item_bytes: int = tensor_dtype_to_np_dtype(kind).itemsize
    return item_bytes
