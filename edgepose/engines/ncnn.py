"""ncnn on the CPU: ONNX through pnnx to a param/bin pair."""

import logging
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgepose.engines.base import Artifact, Engine, Session, ToolStatus
from edgepose.engines.loaded import BackendSession
from edgepose.engines.ncnn_convert import BIN, PARAM, convert
from edgepose.engines.ncnn_param import (
    computing,
    format_param,
    in_single_precision,
    parse_param,
    without_half_arithmetic,
    wrong_in_halves,
)
from edgepose.engines.packages import check_packages
from edgepose.errors import ToolchainError
from edgepose.graph.spec import Graph
from edgepose.recipes import Recipe
from edgepose.runners.native_ncnn import ncnn_runner
from edgepose.runners.pack import RunnerProgram, python_runner
from edgepose.targets import Target

_HALF_OPTIONS = ("fp16_packed", "fp16_storage", "fp16_arithmetic")
_log = logging.getLogger(__name__)


class NcnnEngine:
    """Above opset 17, pnnx silently drops the axes of reductions: recipes cap it there."""

    name = "ncnn"
    native = True

    def check(self) -> ToolStatus:
        return check_packages("ncnn", "pnnx", extra="ncnn")

    def compile(self, graph: Graph, target: Target, recipe: Recipe, into: Path) -> Artifact:
        with tempfile.TemporaryDirectory() as scratch:
            convert(graph, Path(scratch), half_weights=recipe.precision == "fp16")
            for name in (PARAM, BIN):
                (into / name).write_bytes((Path(scratch) / name).read_bytes())
        if recipe.options.get("fp16_arithmetic"):
            layers = parse_param((into / PARAM).read_text())
            sound = without_half_arithmetic(layers, wrong_in_halves(layers))
            (into / PARAM).write_text(format_param(sound))
        blobs = {tensor.name: f"in{index}" for index, tensor in enumerate(graph.inputs)}
        blobs |= {tensor.name: f"out{index}" for index, tensor in enumerate(graph.outputs)}
        options = {**recipe.options, "blobs": blobs}
        return Artifact(into, (PARAM, BIN), options, graph.inputs, graph.outputs)

    def runner(self, target: Target) -> RunnerProgram:
        try:
            return RunnerProgram("runner", ncnn_runner(target.arch).read_bytes())
        except ToolchainError as error:
            if target.kind != "host":
                raise
            _log.warning("%s: the Python runner is used. %s", error, error.hint)
            return python_runner()

    def pinnable(self, artifact: Artifact) -> tuple[str, ...]:
        return computing(parse_param((artifact.folder / PARAM).read_text()))

    def pin(self, artifact: Artifact, layers: Collection[str], into: Path) -> Artifact:
        text = (artifact.folder / PARAM).read_text()
        (into / BIN).write_bytes((artifact.folder / BIN).read_bytes())
        (into / PARAM).write_text(format_param(in_single_precision(parse_param(text), layers)))
        return replace(artifact, folder=into)

    def exact_options(self, artifact: Artifact) -> Mapping[str, Any]:
        return dict(artifact.options) | dict.fromkeys(_HALF_OPTIONS, False)

    def load(self, artifact: Artifact, threads: int = 1) -> Session:
        from edgepose.runners.python.backend_ncnn import NcnnBackend

        return BackendSession(NcnnBackend, artifact, threads)


ENGINE: Engine = NcnnEngine()
