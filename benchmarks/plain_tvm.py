"""``python -m benchmarks.plain_tvm ONNX [TARGET] FOLDER``: ``model.so`` as TVM makes it, untuned.

NCHW, kernels fused, none of them scheduled: what tuning starts from without our layout and rules.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from edgepose.engines.tvm import fast_stack
from edgepose.engines.tvm.hardware import tvm_target
from edgepose.engines.tvm.process import Event, serve
from edgepose.engines.tvm.steps import LIBRARY
from edgepose.targets import load_target


def compile_plain(folder: Path, report: Callable[[Event], None]) -> None:
    import tvm
    from tvm.relax import get_pipeline
    from tvm.relax.transform import CanonicalizeBindings, DecomposeOpsForInference

    from edgepose.engines.tvm.compiling import linker
    from edgepose.engines.tvm.lower import import_onnx, to_tvm

    onnx, name = (*sys.argv[1:-1], "host")[:2]
    target = tvm_target(load_target(name))
    passes = [DecomposeOpsForInference(), CanonicalizeBindings(), get_pipeline("zero")]
    with to_tvm(target):
        module = tvm.transform.Sequential(passes)(import_onnx(Path(onnx)))
    executable = tvm.compile(module, to_tvm(target))
    executable.export_library(str(folder / LIBRARY), fcompile=linker(target.arch))


if __name__ == "__main__":
    fast_stack.install()
    sys.exit(serve(compile_plain, Path(sys.argv[-1])))
