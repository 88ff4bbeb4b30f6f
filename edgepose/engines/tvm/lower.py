"""ONNX to the kernels that TVM schedules. Imports tvm: only for processes that run a step.

Tuning records are matched by a kernel's structure: equal graphs and equal ``target.block`` must
give equal kernels on every machine, and a change here makes earlier records useless.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tvm
from tvm import relax
from tvm.relax import transform
from tvm.relax.frontend.onnx.onnx_frontend import ONNXGraphImporter, _get_convert_map
from tvm.s_tir.analysis import estimate_tir_flops
from tvm.s_tir.meta_schedule.relax_integration import extract_tasks

from edgepose.engines.tvm.hardware import Task, TvmTarget
from edgepose.engines.tvm.layout import to_blocked
from edgepose.errors import UnsupportedModelError
from edgepose.files import write_atomic

_HINT = "Leave it out of the graph (decoding belongs outside), or use another recipe."


def lower(onnx_file: Path, target: TvmTarget) -> tvm.IRModule:
    """The net as ``main`` and its fused kernels, none of them scheduled yet.

    Raises UnsupportedModelError that names an operator which TVM lacks, and its node.
    """
    with to_tvm(target):
        return fuse(to_blocked(simplify(import_onnx(onnx_file)), target.block))


def simplify(module: tvm.IRModule) -> tvm.IRModule:
    """Fewer operators: what depends on constants alone is computed, so that no kernel does it."""
    return tvm.transform.Sequential(
        [
            transform.FoldBatchnormToConv2D(),
            transform.DecomposeOpsForInference(),
            transform.CanonicalizeBindings(),
            transform.FoldConstant(),
            transform.DeadCodeElimination(),
        ]
    )(module)


def fuse(module: tvm.IRModule) -> tvm.IRModule:
    """Operators as kernels, as many in one as TVM can."""
    return tvm.transform.Sequential(
        [
            transform.LegalizeOps(),
            transform.AnnotateTIROpPattern(),
            transform.FoldConstant(),
            transform.FuseOps(),
            transform.FuseTIR(),
            transform.DeadCodeElimination(),
        ]
    )(module)


def to_tvm(target: TvmTarget) -> tvm.target.Target:
    return tvm.target.Target(target.to_config())


def save(module: tvm.IRModule, path: Path) -> None:
    """Write ``module``, weights included; ``tvm.ir.load_json`` reads it."""
    write_atomic(path, tvm.ir.save_json(module))


def tasks_of(module: tvm.IRModule, target: TvmTarget) -> list[tuple[Task, tvm.IRModule]]:
    """What there is to tune in a lowered ``module``: each kernel once, with its own module."""
    return [
        (
            Task(
                name=str(task.task_name),
                weight=int(task.weight),
                flops=float(estimate_tir_flops(task.dispatched[0])),
            ),
            task.dispatched[0],
        )
        for task in extract_tasks(module, to_tvm(target))
    ]


def import_onnx(onnx_file: Path) -> tvm.IRModule:
    """The graph in ``onnx_file`` as Relax operators, one to one as far as that goes."""
    model = onnx.load(str(onnx_file))
    known = _get_convert_map()
    for node in model.graph.node:
        if node.op_type not in known and node.op_type not in ("Constant", "If"):
            raise _unsupported(node.op_type, node.name or node.output[0], "it has none")
    opset = next(item.version for item in model.opset_import if item.domain in ("", "ai.onnx"))
    return _Importer({}, "float32").from_onnx(model.graph, opset)


class _Importer(ONNXGraphImporter):  # type: ignore[misc]
    """TVM's own, except that bounds stay a part of the operator and that errors name the node."""

    def _convert_operator(self, op_name: str, inputs: Any, attrs: Any, opset: int) -> Any:
        try:
            if op_name == "Clip" and (bounds := _bounds(inputs, attrs)):
                # TVM's importer would make two anonymous kernels that read their bound from memory.
                return self.bb.normalize(relax.op.clip(inputs[0], *bounds))
            return super()._convert_operator(op_name, inputs, attrs, opset)
        except Exception as error:  # converters raise whatever they like
            name = attrs.get("tvm_custom", {}).get("name") or "without a name"
            first_line = str(error).strip().split("\n")[0]
            raise _unsupported(op_name, name, first_line) from error


def _bounds(inputs: Any, attrs: dict[str, Any]) -> tuple[float, float] | None:
    """Lower and upper bound of a Clip; None where one of them is computed, or no number."""
    given = [attrs.get("min", -np.inf), attrs.get("max", np.inf)]
    for index, bound in enumerate((inputs[1], inputs[2])):
        if bound is None:
            continue
        if not isinstance(bound, tvm.ir.GenericConst):
            return None
        given[index] = bound.value.numpy().item()
    lower, upper = map(float, given)
    return None if np.isnan(lower) or np.isnan(upper) else (lower, upper)


def _unsupported(operator: str, node: str, why: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"TVM {tvm.__version__} cannot express the operator {operator} (node {node}): {why}",
        hint=_HINT,
    )
