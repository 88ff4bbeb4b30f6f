"""What those who change an ONNX graph in place need: shapes, and no weights that nobody reads."""

from typing import Any


def static_shapes(model: Any) -> dict[str, list[int]]:
    """Shapes of the tensors of the onnx.ModelProto ``model`` by name, 0 where it is not known."""
    import onnx

    known = onnx.shape_inference.infer_shapes(model).graph
    return {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in (*known.input, *known.output, *known.value_info)
    }


def drop_unread_weights(model: Any) -> None:
    """Drop, in place, the initializers that no node and no output reads."""
    graph = model.graph
    read = {name for node in graph.node for name in node.input}
    read |= {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
