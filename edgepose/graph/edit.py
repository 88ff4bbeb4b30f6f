"""What those who change an ONNX graph in place need: shapes, and who reads what."""

from collections import Counter
from typing import Any


def static_shapes(model: Any) -> dict[str, list[int]]:
    """Shapes of the tensors of the onnx.ModelProto ``model`` by name, 0 where it is not known."""
    import onnx

    known = onnx.shape_inference.infer_shapes(model).graph
    return {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in (*known.input, *known.output, *known.value_info)
    }


def readers(graph: Any) -> Counter[str]:
    """How often each tensor of the onnx.GraphProto ``graph`` is read.

    Reads in branches and loop bodies count, and outputs are reads.
    """
    found = Counter(value.name for value in graph.output)
    for node in graph.node:
        found.update(node.input)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                found.update(readers(inner))
    return found


def drop_unread_weights(model: Any) -> None:
    """Drop, in place, the initializers that no node and no output reads."""
    graph = model.graph
    read = readers(graph)
    kept = [tensor for tensor in graph.initializer if read[tensor.name]]
    del graph.initializer[:]
    graph.initializer.extend(kept)
