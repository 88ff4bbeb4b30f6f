"""Which ONNX nodes a layer of a converted net comes from.

pnnx renames all that it converts, so nothing in its files leads back. Instead each kind of node is
converted alone, which takes a fraction of a second: what it leaves then, it leaves in the net.
"""

import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgepose.deadline import Deadline
from edgepose.graph.edit import readers

_TIME_S = 60.0
_SMALL = 16  # constants of so few values are settings (axes, sizes), larger ones are weights


class ConvertedLayers(Protocol):
    def __call__(self, onnx_file: Path) -> frozenset[str] | None:
        """Types of the layers that an ONNX file becomes; None where the converter crashes."""
        ...


@dataclass(frozen=True)
class Node:
    """``number`` counts the simplified graph's nodes from 0; ``output`` is its first one."""

    number: int
    operator: str
    name: str
    output: str

    def __str__(self) -> str:
        name = f' "{self.name}"' if self.name else ""
        return f'node {self.number} {self.operator}{name} -> "{self.output}"'


@dataclass(frozen=True)
class Origins:
    """``of``: the nodes that alone become such a layer. ``crashing``: those that alone crash."""

    of: Mapping[str, tuple[Node, ...]] = field(default_factory=dict)
    crashing: tuple[Node, ...] = ()


def find_origins(
    onnx_file: Path,
    wanted: Collection[str],
    layers_of: ConvertedLayers,
    deadline: Deadline | None = None,
) -> Origins:
    """Where the layers of the types ``wanted`` come from, and what crashes the converter.

    A layer that is made of several nodes has no origin here. Nodes that are not looked at before
    the deadline (a minute, unless told) are left out.
    """
    until = deadline or Deadline.after(_TIME_S)
    known: dict[Any, frozenset[str] | None] = {}
    found: dict[str, list[Node]] = {kind: [] for kind in wanted}
    crashing = []
    with tempfile.TemporaryDirectory(prefix="edgepose-") as scratch:
        for node, kind, content in _each_alone(onnx_file):
            if kind not in known:
                if until.expired:
                    continue
                alone = Path(scratch) / f"{len(known)}.onnx"
                alone.write_bytes(content)
                known[kind] = layers_of(alone)
            layers = known[kind]
            if layers is None:
                crashing.append(node)
                continue
            for layer in layers & found.keys():
                found[layer].append(node)
    return Origins({kind: tuple(nodes) for kind, nodes in found.items()}, tuple(crashing))


def _each_alone(onnx_file: Path) -> Iterator[tuple[Node, Any, bytes]]:
    """Each node that can stand alone: what it is called, its kind, and a model of nothing else."""
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load(str(onnx_file)))
    graph = model.graph
    values = {value.name: value for value in (*graph.input, *graph.value_info, *graph.output)}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    read = readers(graph)
    for number, node in enumerate(graph.node):
        names = [name for name in dict.fromkeys(node.input) if name]
        weights = [constants[name] for name in names if name in constants]
        fed = [values[name] for name in names if name in values and name not in constants]
        outputs = [values[name] for name in node.output if name in read and name in values]
        if len(weights) + len(fed) < len(names) or not all(map(_is_static, (*fed, *outputs))):
            continue
        # pnnx takes no truth values for inputs: they become constants.
        truths = [value for value in fed if _element(value) == onnx.TensorProto.BOOL]
        weights += [_all_true(value) for value in truths]
        fed = [value for value in fed if value not in truths]
        if not fed or not outputs:
            continue
        kind = (
            node.op_type,
            tuple(sorted(attribute.SerializeToString() for attribute in node.attribute)),
            tuple((_element(value), len(_shape(value))) for value in fed),
            tuple(map(_constant_kind, weights)),
            len(outputs),
        )
        alone = _model_of(node, fed, outputs, weights)
        alone.ir_version = model.ir_version
        alone.opset_import.extend(model.opset_import)
        yield Node(number, node.op_type, node.name, node.output[0]), kind, alone.SerializeToString()


def _model_of(node: Any, fed: list[Any], outputs: list[Any], weights: list[Any]) -> Any:
    """``node`` from ``fed`` to ``outputs``, and a ReLU after each that holds floats.

    pnnx crashes on a net in which nothing is left to do.
    """
    import onnx
    from onnx import helper

    ends, last = [], []
    for value in outputs:
        if _element(value) == onnx.TensorProto.FLOAT:
            name = f"{value.name}/end"
            ends.append(helper.make_node("Relu", [value.name], [name]))
            value = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, _shape(value))
        last.append(value)
    graph = helper.make_graph([node, *ends], "alone", fed, last, weights)
    return onnx.ModelProto(graph=graph)


def _all_true(value: Any) -> Any:
    import onnx

    return onnx.numpy_helper.from_array(np.ones(_shape(value), np.bool_), value.name)


def _constant_kind(tensor: Any) -> Any:
    import onnx

    array = onnx.numpy_helper.to_array(tensor)
    return array.tobytes() if array.size <= _SMALL else (array.ndim, str(array.dtype))


def _is_static(value: Any) -> bool:
    return all(_shape(value))


def _element(value: Any) -> int:
    return int(value.type.tensor_type.elem_type)


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
