"""The hash of what a net computes, apart from its weights: the key of tuning records."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgepose.files import sha256_bytes

# Inputs that are settings although they are float tensors: bounds, scales, a border's value.
_SETTINGS = {"Clip": (1, 2), "Pad": (2,), "Resize": (1, 2), "Upsample": (1,), "Dropout": (1,)}


def topology_hash(onnx_file: Path) -> str:
    """Hash of operators, attributes, shapes and wiring of ``onnx_file``.

    Weights and all names are left out: trained or not, a net has one and the same hash.
    """
    import onnx

    model = onnx.load(str(onnx_file), load_external_data=False)
    opsets = sorted([item.domain, item.version] for item in model.opset_import)
    words = {"opsets": opsets, "graph": _graph(model.graph, {})}
    return sha256_bytes(json.dumps(words, sort_keys=True).encode())


def _graph(graph: Any, outer: Mapping[str, Any]) -> dict[str, Any]:
    """``graph`` as plain data; ``outer`` are the tensors of the graph around it."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    tensors = dict(outer) | {name: _shape(tensor) for name, tensor in weights.items()}
    inputs = [value for value in graph.input if value.name not in weights]
    tensors |= {value.name: ["input", index] for index, value in enumerate(inputs)}
    nodes = []
    for index, node in enumerate(graph.node):
        settings = _SETTINGS.get(node.op_type, ())
        sources = [
            _value(weights[name])
            if name in weights and (position in settings or not _is_float(weights[name]))
            else tensors.get(name)
            for position, name in enumerate(node.input)
        ]
        attributes = {item.name: _attribute(item, tensors) for item in node.attribute}
        nodes.append([node.domain, node.op_type, attributes, sources])
        for item in node.attribute:
            if node.op_type == "Constant" and item.name == "value":
                weights[node.output[0]] = item.t
        tensors |= {name: ["node", index, at] for at, name in enumerate(node.output)}
    return {
        "inputs": [_declared(value) for value in inputs],
        "nodes": nodes,
        "outputs": [tensors[value.name] for value in graph.output],
    }


def _attribute(attribute: Any, tensors: Mapping[str, Any]) -> Any:
    import onnx

    kinds = onnx.AttributeProto
    if attribute.type == kinds.GRAPH:
        return _graph(attribute.g, tensors)
    if attribute.type == kinds.TENSOR:
        return _shape(attribute.t) if _is_float(attribute.t) else _value(attribute.t)
    value = onnx.helper.get_attribute_value(attribute)
    if attribute.type in (kinds.STRING, kinds.STRINGS):
        return str(value)
    return list(value) if attribute.type in (kinds.INTS, kinds.FLOATS) else value


def _declared(value: Any) -> list[Any]:
    tensor = value.type.tensor_type
    return [tensor.elem_type, [dim.dim_value for dim in tensor.shape.dim]]


def _is_float(tensor: Any) -> bool:
    from onnx import TensorProto

    kinds = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
    return tensor.data_type in kinds


def _shape(tensor: Any) -> list[Any]:
    return ["weight", tensor.data_type, list(tensor.dims)]


def _value(tensor: Any) -> list[Any]:
    from onnx import numpy_helper

    return ["setting", tensor.data_type, numpy_helper.to_array(tensor).tolist()]
