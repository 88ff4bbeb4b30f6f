"""Read an ONNX file as a plain graph, or say exactly why it is none."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgepose.errors import UnsupportedModelError
from edgepose.graph.spec import Graph, TensorSpec

_STANDARD_DOMAINS = ("", "ai.onnx")


def read_graph(path: Path, max_opset: int) -> Graph:
    """The graph in ``path``: one file, static float32 tensors, standard operators.

    Raises UnsupportedModelError that names what is dynamic, foreign or too new for ``max_opset``.
    """
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
        _check_one_file(model, path)
        onnx.checker.check_model(model)
    except UnsupportedModelError:
        raise
    except Exception as error:  # noqa: BLE001 - protobuf and the checker raise many types
        first_line = str(error).strip().split("\n")[0]
        raise UnsupportedModelError(
            f"{path} is not a valid ONNX file: {first_line}", hint="Export the model again."
        ) from None
    _check_operators(model, path)
    opset = next(item.version for item in model.opset_import if item.domain in _STANDARD_DOMAINS)
    if opset > max_opset:
        raise UnsupportedModelError(
            f"{path} uses ONNX opset {opset}; target and recipe read at most {max_opset}",
            hint=f"Export the model again with opset_version={max_opset}.",
        )
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if not inputs:
        raise UnsupportedModelError(
            f"{path} has no input", hint="Export the model with its image as an input."
        )
    return Graph(
        path=path,
        opset=opset,
        inputs=tuple(_tensor(value, path) for value in inputs),
        outputs=tuple(_tensor(value, path) for value in model.graph.output),
    )


def count_weights(path: Path) -> int:
    """Number of values in the float initializers of the ONNX file at ``path``."""
    import onnx

    initializers = onnx.load(str(path), load_external_data=False).graph.initializer
    floats = [tensor for tensor in initializers if tensor.data_type == onnx.TensorProto.FLOAT]
    return sum(math.prod(tensor.dims) for tensor in floats)


def _check_one_file(model: Any, path: Path) -> None:
    import onnx

    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise UnsupportedModelError(
            f"{path} keeps its weights in other files",
            hint="Save it as one file: onnx.save(model, path, save_as_external_data=False).",
        )


def _check_operators(model: Any, path: Path) -> None:
    foreign = sorted(
        f"{node.domain}::{node.op_type}"
        for node in _all_nodes(model.graph)
        if node.domain not in _STANDARD_DOMAINS
    )
    if foreign:
        raise UnsupportedModelError(
            f"{path} uses operators outside the ONNX standard: {', '.join(dict.fromkeys(foreign))}",
            hint="Export the model without custom operators (leave decoding out of the graph).",
        )


def _all_nodes(graph: Any) -> Iterator[Any]:
    """The nodes of ``graph`` and of the branches and loop bodies in it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _all_nodes(inner)


def _tensor(value: Any, path: Path) -> TensorSpec:
    import onnx

    tensor = value.type.tensor_type
    kind = onnx.TensorProto.DataType.Name(tensor.elem_type)
    if kind != "FLOAT":
        raise UnsupportedModelError(
            f"{path}: tensor {value.name!r} is of type {kind}, not FLOAT",
            hint="Export the model in FP32; the recipe chooses the precision.",
        )
    dims = tensor.shape.dim
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else 0 for dim in dims)
    if not shape or min(shape) <= 0:
        shown = [dim.dim_param or dim.dim_value or "?" for dim in dims]
        raise UnsupportedModelError(
            f"{path}: tensor {value.name!r} has the dynamic shape {shown}",
            hint="Export it with fixed shapes and batch size 1 (no dynamic_axes).",
        )
    return TensorSpec(value.name, shape)
