"""From a PyTorch module to a plain ONNX file: exported, simplified, folded, checked."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgepose.errors import BuildError
from edgepose.graph.check import read_graph
from edgepose.graph.simplify import simplify
from edgepose.graph.spec import Graph
from edgepose.zoo import ModelSpec

INPUT_NAME = "input"


def export(net: nn.Module, spec: ModelSpec, opset: int, path: Path) -> Graph:
    """Write the zoo model ``net`` (eval mode) as a plain ONNX file at ``opset``, batch size 1.

    Raises BuildError where torch cannot express an operator at that opset.
    """
    raw = path.with_name("exported.onnx")
    trace(net, spec, opset, raw)
    simplify(raw, path)
    raw.unlink()
    return read_graph(path, opset)


def trace(net: nn.Module, spec: ModelSpec, opset: int, path: Path) -> None:
    """Write ``net`` as the exporter of torch leaves it: nothing simplified yet."""
    assert spec.input is not None, "every zoo model says its input"
    example = torch.zeros(1, 3, spec.input.height, spec.input.width)
    try:
        with warnings.catch_warnings():
            # The TorchScript exporter is deprecated, yet the only one that keeps opset <= 17.
            warnings.simplefilter("ignore", DeprecationWarning)
            # It writes the sizes of a padding as slices of constants; `simplify` folds them.
            warnings.filterwarnings("ignore", "Constant folding", UserWarning)
            torch.onnx.export(
                net,
                (example,),
                str(path),
                dynamo=False,
                opset_version=opset,
                input_names=[INPUT_NAME],
                output_names=list(spec.outputs),
                do_constant_folding=True,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        first_line = str(error).strip().split("\n")[0]
        raise BuildError(f"{spec.name} cannot be exported at opset {opset}: {first_line}") from None


def run_net(
    net: nn.Module, spec: ModelSpec, inputs: Sequence[NDArray[np.float32]]
) -> list[dict[str, NDArray[np.float32]]]:
    """FP32 outputs of ``net`` by name, for each input [1, 3, height, width]."""
    results = []
    for array in inputs:
        with torch.no_grad():
            outputs = net(torch.from_numpy(array))
        outputs = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
        named = zip(spec.outputs, outputs, strict=True)
        results.append({name: tensor.numpy() for name, tensor in named})
    return results
