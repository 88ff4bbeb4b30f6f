"""ONNX to CUDA source and a launch plan. Imports tvm: only for processes that run a step."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from tvm import tirx
from tvm.ir.instrument import pass_instrument
from tvm.relax import transform
from tvm.s_tir import dlight

from edgepose.engines.tvm.cuda_extract import Planner, read_host_function
from edgepose.engines.tvm.cuda_plan import CudaTarget, LaunchPlan
from edgepose.engines.tvm.lower import fuse, import_onnx, simplify

# From this many outputs on, a thread for each of them keeps a small GPU busy.
_MANY_OUTPUTS = 1024


@dataclass(frozen=True)
class CudaNet:
    """``source`` is CUDA C++, ``weights`` the beginning of the plan's arena."""

    plan: LaunchPlan
    source: str
    weights: bytes


def compile_cuda(
    onnx_file: Path, target: CudaTarget, inputs: Sequence[str], outputs: Sequence[str]
) -> CudaNet:
    """Every kernel of the net by dlight's default schedules; the tensors' names are the caller's.

    Neither CUDA nor a GPU is needed here. Raises UnsupportedModelError.
    """
    module = scheduled(onnx_file, target)
    hardware = to_tvm(target)
    with hardware:
        module = tvm.transform.Sequential(
            [
                transform.RewriteDataflowReshape(),
                transform.ToNonDataflow(),
                transform.RemovePurityChecking(),
                transform.CallTIRRewrite(),
                transform.StaticPlanBlockMemory(),
                transform.DeadCodeElimination(),  # reshapes need no kernel any more
                transform.AttachGlobalSymbol(),
            ]
        )(module)
    source, hosts = _generate(module, hardware)
    planner = Planner({name: read_host_function(each) for name, each in hosts.items()})
    input_offsets, output_offsets = planner.plan(module["main"], inputs, outputs)
    plan = LaunchPlan(
        arch=target.arch,
        arena_bytes=planner.arena.size,
        weights_bytes=len(planner.arena.weights),
        inputs=input_offsets,
        outputs=output_offsets,
        launches=tuple(planner.launches),
    )
    return CudaNet(plan, source, bytes(planner.arena.weights))


def scheduled(onnx_file: Path, target: CudaTarget) -> tvm.IRModule:
    """The net's fused kernels, all of them bound to blocks and threads."""
    schedule = dlight.ApplyDefaultSchedule(
        dlight.gpu.Matmul(),  # dense convolutions too
        _ForFewOutputs(dlight.gpu.GEMV()),
        _ForFewOutputs(dlight.gpu.Reduction()),
        _ForFewOutputs(dlight.gpu.GeneralReduction()),
        dlight.gpu.Fallback(),
    )
    with to_tvm(target):
        return schedule(fuse(simplify(import_onnx(onnx_file))))


def to_tvm(target: CudaTarget) -> tvm.target.Target:
    # The host's code is thrown away: launches are read from it before it is generated.
    return tvm.target.Target(target.to_config(), tvm.target.Target("llvm"))


class _ForFewOutputs:
    """A rule that gives each output a whole block of threads, kept to where this pays.

    Left to itself, it takes depthwise convolutions: 256 threads for a sum of nine products.
    """

    def __init__(self, rule: Any) -> None:
        self._rule = rule

    def apply(self, function: tirx.PrimFunc, target: Any, tunable: bool) -> Any:
        shape = function.params[-1].ty.shape
        if np.prod([int(size) for size in shape]) >= _MANY_OUTPUTS:
            return None
        return self._rule.apply(function, target, tunable)


def _generate(
    module: tvm.IRModule, hardware: tvm.target.Target
) -> tuple[str, dict[str, tirx.PrimFunc]]:
    """CUDA source of all kernels, and the host functions that launch them, by name."""
    kernels = {
        name: function
        for name, function in module.functions.items()
        if isinstance(function, tirx.PrimFunc)
    }
    split = _Keep("tirx.SplitHostDevice")
    with tvm.transform.PassContext(opt_level=3, instruments=[split]):
        library = tirx.build(tvm.IRModule(kernels), hardware)
    hosts = {
        name.name_hint: function
        for name, function in split.kept.functions.items()
        if "tirx.kernel_launch_params" not in function.attrs
    }
    return str(library.imports[0].inspect_source()), hosts


@pass_instrument
class _Keep:
    """Keeps the module as it is after a pass, out of the middle of TVM's own pipeline."""

    def __init__(self, after: str) -> None:
        self.after, self.kept = after, tvm.IRModule()

    def run_after_pass(self, module: tvm.IRModule, info: Any) -> None:
        if info.name == self.after:
            self.kept = module
