"""ncnn on the CPU: ONNX through pnnx to a param/bin pair."""

import logging
import re
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgepose.engines.base import Artifact, Engine, Session, ToolStatus
from edgepose.engines.loaded import BackendSession
from edgepose.engines.ncnn_param import (
    computing,
    format_param,
    in_single_precision,
    parse_param,
    without_half_arithmetic,
    wrong_in_halves,
)
from edgepose.engines.packages import check_packages
from edgepose.errors import BuildError, ToolchainError, UnsupportedModelError
from edgepose.graph.spec import Graph
from edgepose.recipes import Recipe
from edgepose.runners.native_ncnn import ncnn_runner
from edgepose.runners.pack import RunnerProgram, python_runner
from edgepose.targets import Target

_PARAM, _BIN = "model.ncnn.param", "model.ncnn.bin"
_HALF_OPTIONS = ("fp16_packed", "fp16_storage", "fp16_arithmetic")
_TIMEOUT_S = 600
_log = logging.getLogger(__name__)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # of a terminal
# Loading runs in a process of its own: ncnn may crash on a net that it cannot express.
_LOAD = """
import sys, ncnn
net = ncnn.Net()
sys.exit(1 if net.load_param(sys.argv[1]) or net.load_model(sys.argv[2]) else 0)
"""


class NcnnEngine:
    """Above opset 17, pnnx silently drops the axes of reductions: recipes cap it there."""

    name = "ncnn"
    native = True

    def check(self) -> ToolStatus:
        return check_packages("ncnn", "pnnx", extra="ncnn")

    def compile(self, graph: Graph, target: Target, recipe: Recipe, into: Path) -> Artifact:
        with tempfile.TemporaryDirectory() as scratch:
            _convert(graph, Path(scratch), half_weights=recipe.precision == "fp16")
            for name in (_PARAM, _BIN):
                (into / name).write_bytes((Path(scratch) / name).read_bytes())
        if recipe.options.get("fp16_arithmetic"):
            layers = parse_param((into / _PARAM).read_text())
            sound = without_half_arithmetic(layers, wrong_in_halves(layers))
            (into / _PARAM).write_text(format_param(sound))
        _check_loads(into)
        blobs = {tensor.name: f"in{index}" for index, tensor in enumerate(graph.inputs)}
        blobs |= {tensor.name: f"out{index}" for index, tensor in enumerate(graph.outputs)}
        options = {**recipe.options, "blobs": blobs}
        return Artifact(into, (_PARAM, _BIN), options, graph.inputs, graph.outputs)

    def runner(self, target: Target) -> RunnerProgram:
        try:
            return RunnerProgram("runner", ncnn_runner(target.arch).read_bytes())
        except ToolchainError as error:
            if target.kind != "host":
                raise
            _log.warning("%s: the Python runner is used. %s", error, error.hint)
            return python_runner()

    def pinnable(self, artifact: Artifact) -> tuple[str, ...]:
        return computing(parse_param((artifact.folder / _PARAM).read_text()))

    def pin(self, artifact: Artifact, layers: Collection[str], into: Path) -> Artifact:
        text = (artifact.folder / _PARAM).read_text()
        (into / _BIN).write_bytes((artifact.folder / _BIN).read_bytes())
        (into / _PARAM).write_text(format_param(in_single_precision(parse_param(text), layers)))
        return replace(artifact, folder=into)

    def exact_options(self, artifact: Artifact) -> Mapping[str, Any]:
        return dict(artifact.options) | dict.fromkeys(_HALF_OPTIONS, False)

    def load(self, artifact: Artifact, threads: int = 1) -> Session:
        from edgepose.runners.python.backend_ncnn import NcnnBackend

        return BackendSession(NcnnBackend, artifact, threads)


def _convert(graph: Graph, folder: Path, half_weights: bool) -> None:
    """Run pnnx in ``folder``, which leaves the param/bin pair there."""
    import pnnx

    shapes = ",".join(
        "[" + ",".join(str(size) for size in tensor.shape) + "]f32" for tensor in graph.inputs
    )
    # pnnx writes beside its input under names made from the input's name.
    (folder / "model.onnx").write_bytes(graph.path.read_bytes())
    words = [pnnx.EXEC_PATH, "model.onnx", f"inputshape={shapes}", f"fp16={int(half_weights)}"]
    done = _run(words, folder)
    if done.returncode or not (folder / _PARAM).is_file():
        log = _COLOURS.sub("", done.stdout + done.stderr).strip().splitlines()
        raise BuildError(
            f"pnnx ended with exit code {done.returncode}: {' | '.join(log[-3:])}",
            hint="Try the recipe onnxruntime-fp32, or export the model with simpler operators.",
        )


def _check_loads(folder: Path) -> None:
    words = [sys.executable, "-c", _LOAD, str(folder / _PARAM), str(folder / _BIN)]
    done = _run(words, folder)
    if done.returncode == 0:
        return
    unknown = sorted(set(re.findall(r"layer (\S+) not exists", done.stderr)))
    if unknown:
        raise UnsupportedModelError(
            f"ncnn has no layer for the operators {', '.join(unknown)}",
            hint="Leave them out of the graph (decoding belongs outside), or use another recipe.",
        )
    raise BuildError(
        f"ncnn cannot load the converted net (exit code {done.returncode}): "
        f"{done.stderr.strip()[-300:] or 'no message'}",
        hint="Try the recipe onnxruntime-fp32.",
    )


def _run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            words, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise BuildError(
            f"{Path(words[0]).name} was stopped after {_TIMEOUT_S} s", hint="Try another recipe."
        ) from None


ENGINE: Engine = NcnnEngine()
