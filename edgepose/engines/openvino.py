"""OpenVINO on the CPU: the artifact is the ONNX file itself."""

import logging
import shutil
from pathlib import Path

from edgepose.engines.base import Artifact, Engine, Session, ToolStatus
from edgepose.engines.loaded import BackendSession
from edgepose.engines.packages import check_packages
from edgepose.errors import UnsupportedModelError, UsageError
from edgepose.graph.shuffle import shuffles_as_convolutions
from edgepose.graph.spec import Graph
from edgepose.recipes import Recipe, fallback
from edgepose.runners.pack import RunnerProgram, python_runner
from edgepose.targets import Target

_FILE = "model.onnx"
_PRECISIONS = ("fp32", "bf16")
_log = logging.getLogger(__name__)


class OpenvinoEngine:
    """Compiled when loaded, on the device: a plan saved for one CPU is wrong on another.

    Its own format (IR) would gain nothing: it holds the same weights, it is read half as fast as
    the ONNX file (44 against 26 ms for RTMDet-nano, 106 against 53 ms for TinyPose), and compiling
    takes 190 to 480 ms after either. The batch stays 1: a free one makes single images 4 to 13 %
    slower, and the first frame with another number of people 20 to 100 ms.
    """

    name = "openvino"
    native = False

    def check(self) -> ToolStatus:
        return check_packages("openvino", extra="openvino")

    def compile(self, graph: Graph, target: Target, recipe: Recipe, into: Path) -> Artifact:
        from edgepose.runners.python.backend_openvino import import_openvino, one_line

        if recipe.precision not in _PRECISIONS:
            raise UsageError(
                f"recipe {recipe.name!r}: OpenVINO computes in {' or '.join(_PRECISIONS)} here, "
                f"not in {recipe.precision}",
                hint="Correct `precision` in the recipe.",
            )
        openvino = import_openvino()
        try:
            openvino.Core().read_model(graph.path)
        except RuntimeError as error:
            raise UnsupportedModelError(
                f"OpenVINO does not read the model: {one_line(error)}",
                hint="Try another recipe, for example onnxruntime-fp32.",
            ) from None
        if recipe.options.get("shuffle_as_convolution"):
            shuffles_as_convolutions(graph.path, into / _FILE)
        else:
            shutil.copyfile(graph.path, into / _FILE)
        options = {**recipe.options, "precision": recipe.precision}
        return Artifact(into, (_FILE,), options, graph.inputs, graph.outputs)

    def runner(self, target: Target) -> RunnerProgram:
        return python_runner()

    def load(self, artifact: Artifact, threads: int = 1) -> Session:
        from edgepose.runners.python.backend_openvino import OpenvinoBackend

        session = BackendSession(OpenvinoBackend, artifact, threads)
        other = fallback(artifact.options["precision"], session.computed_in)
        if other:
            _log.warning("%s: as exact as in FP32, and no faster", other)
        return session


ENGINE: Engine = OpenvinoEngine()
