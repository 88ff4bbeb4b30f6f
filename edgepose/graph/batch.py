"""An ONNX graph that takes any number of images at once, and computes each as if it were alone."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose.graph.edit import drop_unread_weights, static_shapes
from edgepose.graph.spec import Graph

BATCH = "batch"  # the name of the free dimension
_TOGETHER = 3  # images of the trial
_PROVIDERS = ["CPUExecutionProvider"]
_RESHAPE_KEEPS = 0  # ONNX: this dimension stays as it is
_REACH = 1e-5  # of the largest output: how far rounding may move others


def free_batch(graph: Graph, into: Path) -> bool:
    """Write ``graph`` with a free first dimension to ``into``, if that can be done.

    Where one image is computed, nothing changes. False, and nothing written, where the graph has
    several inputs, or a trial with three images does not give what each gives alone.
    """
    import onnx

    if len(graph.inputs) != 1 or any(
        tensor.shape[:1] != (1,) for tensor in graph.inputs + graph.outputs
    ):
        return False
    model = onnx.load(str(graph.path))
    _release(model, static_shapes(model))
    drop_unread_weights(model)
    content = model.SerializeToString()
    if not _is_as_before(graph, content):
        return False
    into.write_bytes(content)
    return True


def _release(model: Any, shapes: dict[str, list[int]]) -> None:
    """Free the first dimension in place, where nodes have it as a constant, too."""
    from onnx import numpy_helper

    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    del graph.value_info[:]
    for node in graph.node:
        change = {"Reshape": _release_reshape, "Resize": _release_resize}.get(node.op_type)
        source = shapes.get(node.input[0]) if change else None
        if not change or not source or source[0] != 1:
            continue
        position, changed = change(node, constants, source)
        if changed is not None:
            # Under a name of its own: other nodes may share the constant.
            name = f"{node.output[0]}.{BATCH}"
            graph.initializer.append(numpy_helper.from_array(changed, name))
            node.input[position] = name


def _release_reshape(
    node: Any, constants: dict[str, Any], source: list[int]
) -> tuple[int, NDArray[np.int64] | None]:
    from onnx import numpy_helper

    if node.input[1] not in constants:
        return 1, None
    shape = numpy_helper.to_array(constants[node.input[1]]).copy()
    zeros_are_sizes = [item for item in node.attribute if item.name == "allowzero" and item.i]
    if not shape.size or shape[0] != 1 or (zeros_are_sizes and not shape.all()):
        return 1, None
    for item in zeros_are_sizes:
        node.attribute.remove(item)
    shape[0] = _RESHAPE_KEEPS
    return 1, shape


def _release_resize(
    node: Any, constants: dict[str, Any], source: list[int]
) -> tuple[int, NDArray[np.float32] | None]:
    """Sizes name the batch, scales do not; only whole scales are surely the same."""
    from onnx import numpy_helper

    if len(node.input) < 4 or node.input[3] not in constants:
        return 2, None
    sizes = numpy_helper.to_array(constants[node.input[3]])
    if len(sizes) != len(source) or not all(source) or (sizes % source).any():
        return 2, None
    del node.input[3]
    return 2, (sizes / source).astype(np.float32)


def _is_as_before(graph: Graph, content: bytes) -> bool:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4  # a graph that cannot do it is no error
    before = onnxruntime.InferenceSession(str(graph.path), settings, providers=_PROVIDERS)
    name = graph.inputs[0].name
    shape = (_TOGETHER, *graph.inputs[0].shape[1:])
    images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    try:
        after = onnxruntime.InferenceSession(content, settings, providers=_PROVIDERS)
        together = after.run(None, {name: images})
    except Exception:  # noqa: BLE001 - the runtime raises many private types
        return False
    alone = [before.run(None, {name: image[None]}) for image in images]
    for found, *each in zip(together, *alone, strict=True):
        wanted = np.concatenate(each)
        if found.shape != wanted.shape:
            return False
        if not np.allclose(found, wanted, rtol=0, atol=_REACH * float(np.abs(wanted).max())):
            return False
    return True
