"""The engine: has the kernels compiled in another process, and loads the result here."""

import shutil
import tempfile
from pathlib import Path
from typing import Literal

from edgepose.deadline import Deadline
from edgepose.engines.base import Artifact, Engine, Session, ToolStatus, Tuning
from edgepose.engines.tvm.cuda import compile_for_gpu
from edgepose.engines.tvm.hardware import tvm_target
from edgepose.engines.tvm.pins import check_pins
from edgepose.engines.tvm.records import Records, best_records, tuned_on_board
from edgepose.engines.tvm.session import TvmSession
from edgepose.engines.tvm.steps import LIBRARY, Compiled, CompileRequest, compile_apart
from edgepose.graph.spec import Graph
from edgepose.graph.topology import topology_hash
from edgepose.recipes import Recipe
from edgepose.runners.glibc import require_glibc
from edgepose.runners.native_tvm import TVM_VERSION, tvm_runner, tvm_runtime
from edgepose.runners.pack import RunnerProgram
from edgepose.targets import Target

TUNER = "MetaSchedule"
_COMPILE_S = 1800.0


class TvmEngine:
    """Artifacts carry the runtime's two libraries: a device needs nothing but its C library."""

    name = "tvm"
    native = True

    def check(self) -> ToolStatus:
        return check_pins()

    def compile(self, graph: Graph, target: Target, recipe: Recipe, into: Path) -> Artifact:
        if recipe.on_gpu:
            return compile_for_gpu(graph, target, recipe, into)
        records = best_records(topology_hash(graph.path), target.name)
        with tempfile.TemporaryDirectory(prefix="edgepose-tvm-") as scratch:
            folder = Path(scratch)
            if records:
                records.write(folder / "records")
            request = CompileRequest(
                onnx=str(graph.path.resolve()),
                target=tvm_target(target),
                records=str(folder / "records") if records else None,
            )
            compiled = compile_apart(request, folder, Deadline.after(_COMPILE_S))
            shutil.copyfile(folder / LIBRARY, into / LIBRARY)
        runtime = tvm_runtime(target.arch)
        for name, path in runtime.items():
            shutil.copyfile(path, into / name)
        return Artifact(
            folder=into,
            files=(LIBRARY, *runtime),
            options=dict(recipe.options),
            inputs=graph.inputs,
            outputs=graph.outputs,
            tuning=_tuning(compiled, records),
        )

    def records_key(self, graph_hash: str, target: Target) -> str | None:
        records = best_records(graph_hash, target.name)
        return records.key if records else None

    def has_board_records(self, graph_hash: str, target: Target) -> bool:
        return best_records(graph_hash, target.name, ("board",)) is not None

    def tuned_on_board(self, model: str, target: Target) -> bool:
        return tuned_on_board(model, target.name)

    def runner(self, target: Target) -> RunnerProgram:
        program = tvm_runner(target.arch)
        require_glibc(program, target.system.libc)
        return RunnerProgram("runner", program.read_bytes())

    def load(self, artifact: Artifact, threads: int = 1) -> Session:
        return TvmSession(artifact, threads)


def _tuning(compiled: Compiled, records: Records | None) -> Tuning:
    """Records that fit no kernel (of an older lowering) do not make an artifact a tuned one."""
    used = records if compiled.tuned_tasks else None
    origin: Literal["no", "proxy", "board"] = used.about.origin if used else "no"
    return Tuning(
        tuned=origin,
        tuner=TUNER,
        tvm_version=TVM_VERSION,
        trials=used.trials if used else None,
        records_sha256=used.sha256 if used else None,
        tasks=compiled.tasks,
        tuned_tasks=compiled.tuned_tasks,
        tuned_share=compiled.tuned_share,
        emulated=used is not None and used.about.emulated,
    )


ENGINE: Engine = TvmEngine()
