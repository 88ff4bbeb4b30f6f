"""TVM on a Jetson's GPU: CUDA source, weights and a launch plan; the device's nvcc does the rest.

Run as ``python -m edgepose.engines.tvm.cuda FOLDER`` it is the process that imports tvm.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from edgepose.deadline import Deadline
from edgepose.engines.base import Artifact, Tuning
from edgepose.engines.tvm import fast_stack
from edgepose.engines.tvm.cuda_plan import LAUNCHES, SOURCE, WEIGHTS, CudaTarget
from edgepose.engines.tvm.process import Event, run_child, serve
from edgepose.errors import ConfigError
from edgepose.files import write_atomic
from edgepose.graph.spec import Graph
from edgepose.recipes import Recipe
from edgepose.runners.native_tvm import TVM_VERSION
from edgepose.targets import Target, cuda_arch

TUNER = "dlight's default schedules"
_MAX_THREADS = 1024  # of a block, on every GPU that we know
_REQUEST, _ANSWER = "request.json", "answer.json"
_COMPILE_S = 1800.0


class _Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of what the two processes tell each other."""


class _Request(_Data, frozen=True, kw_only=True):
    onnx: str
    target: CudaTarget
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class _Answer(_Data, frozen=True, kw_only=True):
    kernels: int


def cuda_target(target: Target, recipe: Recipe) -> CudaTarget:
    """The GPU of ``target`` with the recipe's ``max_num_threads``.

    Raises UsageError for a target without CUDA, ConfigError for an option out of range.
    """
    arch = cuda_arch(target)
    threads = recipe.options.get("max_num_threads", _MAX_THREADS)
    if not isinstance(threads, int) or threads not in range(32, _MAX_THREADS + 1, 32):
        raise ConfigError(
            f"recipe {recipe.name!r}: max_num_threads is {threads!r}",
            hint=f"It is a multiple of 32, {_MAX_THREADS} at most.",
        )
    return CudaTarget(arch=arch, max_threads=threads)


def compile_for_gpu(graph: Graph, target: Target, recipe: Recipe, into: Path) -> Artifact:
    """Write the artifact into ``into``; neither CUDA nor a GPU is needed on this host.

    Raises UnsupportedModelError for an operator that TVM lacks, else BuildError.
    """
    request = _Request(
        onnx=str(graph.path.resolve()),
        target=cuda_target(target, recipe),
        inputs=tuple(tensor.name for tensor in graph.inputs),
        outputs=tuple(tensor.name for tensor in graph.outputs),
    )
    with tempfile.TemporaryDirectory(prefix="edgepose-tvm-") as scratch:
        folder = Path(scratch)
        write_atomic(folder / _REQUEST, msgspec.json.encode(request))
        until = Deadline.after(_COMPILE_S)
        run_child(__name__, [], folder, until, doing="generating CUDA source with TVM")
        answer = msgspec.json.decode((folder / _ANSWER).read_bytes(), type=_Answer)
        for name in (LAUNCHES, WEIGHTS, SOURCE):
            shutil.copyfile(folder / name, into / name)
    return Artifact(
        folder=into,
        files=(LAUNCHES, WEIGHTS, SOURCE),
        options=dict(recipe.options),
        inputs=graph.inputs,
        outputs=graph.outputs,
        tuning=Tuning(
            tuned="no",
            tuner=TUNER,
            tvm_version=TVM_VERSION,
            trials=None,
            records_sha256=None,
            tasks=answer.kernels,
            tuned_tasks=0,
            tuned_share=0.0,
        ),
    )


def _work(folder: Path, report: Callable[[Event], None]) -> None:
    from edgepose.engines.tvm.cuda_lower import compile_cuda

    request = msgspec.json.decode((folder / _REQUEST).read_bytes(), type=_Request)
    net = compile_cuda(Path(request.onnx), request.target, request.inputs, request.outputs)
    write_atomic(folder / LAUNCHES, msgspec.json.encode(net.plan))
    write_atomic(folder / WEIGHTS, net.weights)
    write_atomic(folder / SOURCE, net.source)
    kernels = len({launch.kernel for launch in net.plan.launches})
    write_atomic(folder / _ANSWER, msgspec.json.encode(_Answer(kernels=kernels)))


def main(folder: str) -> int:
    fast_stack.install()
    return serve(_work, Path(folder))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
