"""onnxruntime on the CPU: the artifact is the ONNX file itself."""

import shutil
from pathlib import Path

from edgepose.engines.base import Artifact, Engine, Session, ToolStatus
from edgepose.engines.loaded import BackendSession
from edgepose.engines.packages import check_packages
from edgepose.graph.batch import free_batch
from edgepose.graph.spec import Graph
from edgepose.recipes import Recipe
from edgepose.runners.pack import RunnerProgram, python_runner
from edgepose.targets import Target

_FILE = "model.onnx"


class OnnxruntimeEngine:
    """Optimised when loaded, on the device: a saved optimised graph fits one CPU only."""

    name = "onnxruntime"
    native = False

    def check(self) -> ToolStatus:
        return check_packages("onnxruntime", extra="onnxruntime")

    def compile(self, graph: Graph, target: Target, recipe: Recipe, into: Path) -> Artifact:
        any_batch = free_batch(graph, into / _FILE)
        if not any_batch:
            shutil.copyfile(graph.path, into / _FILE)
        return Artifact(
            *(into, (_FILE,), dict(recipe.options), graph.inputs, graph.outputs),
            any_batch=any_batch,
        )

    def runner(self, target: Target) -> RunnerProgram:
        return python_runner()

    def load(self, artifact: Artifact, threads: int = 1) -> Session:
        from edgepose.runners.python.backend_onnxruntime import OnnxruntimeBackend

        return BackendSession(OnnxruntimeBackend, artifact, threads)


ENGINE: Engine = OnnxruntimeEngine()
