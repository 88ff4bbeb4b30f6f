"""Channel shuffles as 1x1 convolutions, for engines that are slow at moving channels.

Nets of the ShuffleNet family interleave groups of channels in every block (Zhang et al., CVPR
2018): a reshape, a transpose, a reshape back. A 1x1 convolution whose weights are zeros and ones
does the same, to the last bit, with more operations.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from edgepose.graph.edit import drop_unread_weights, readers, static_shapes


def shuffles_as_convolutions(source: Path, into: Path) -> int:
    """Write the ONNX file ``source`` to ``into`` with convolutions for shuffles.

    Returns how many there were.
    """
    import onnx

    model = onnx.load(str(source))
    graph = model.graph
    shapes = static_shapes(model)
    producers = {name: node for node in graph.node for name in node.output}
    reads = readers(graph)
    count = 0
    for back in list(graph.node):
        turn = producers.get(back.input[0]) if back.op_type == "Reshape" else None
        split = producers.get(turn.input[0]) if turn and turn.op_type == "Transpose" else None
        if not turn or not split or split.op_type != "Reshape":
            continue
        alone = reads[turn.output[0]] == reads[split.output[0]] == 1
        groups = _groups(shapes, split, turn, back)
        if alone and groups:
            weights = _weights(graph, shapes[split.input[0]][1], groups)
            _turn_into_convolution(back, split.input[0], weights)
            graph.node.remove(turn)
            graph.node.remove(split)
            count += 1
    if not count:
        shutil.copyfile(source, into)
        return 0
    drop_unread_weights(model)
    onnx.save(model, str(into))
    return count


def _turn_into_convolution(node: Any, source: str, weights: str) -> None:
    """Make ``node``, in place, the 1x1 convolution of ``source`` with ``weights``."""
    from onnx import helper

    node.op_type = "Conv"
    node.input[:] = [source, weights]
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("kernel_shape", [1, 1]))


def _groups(shapes: dict[str, list[int]], split: Any, turn: Any, back: Any) -> int:
    """How many groups of channels the three nodes interleave; 0 where they do something else."""
    whole, parts, after = (
        shapes.get(name, []) for name in (split.input[0], split.output[0], back.output[0])
    )
    if len(whole) != 4 or after != whole or len(parts) not in (4, 5):
        return 0
    [order] = [list(item.ints) for item in turn.attribute if item.name == "perm"] or [[]]
    if order != [0, 2, 1, *range(3, len(parts))]:
        return 0
    (_, groups, each), rest = parts[:3], parts[3:]
    same_cells = rest in ([whole[2] * whole[3]], whole[2:])
    return groups if parts[0] == whole[0] and groups * each == whole[1] and same_cells else 0


def _weights(graph: Any, channels: int, groups: int) -> str:
    """The name of the weights [C, C, 1, 1] that interleave; they are added where there are none."""
    from onnx import numpy_helper

    name = f"shuffle.{channels}.{groups}"
    if all(tensor.name != name for tensor in graph.initializer):
        order = np.arange(channels).reshape(groups, -1).T.ravel()
        chosen = np.eye(channels, dtype=np.float32)[order]
        graph.initializer.append(numpy_helper.from_array(chosen[:, :, None, None], name))
    return name
