"""ONNX through pnnx to a param/bin pair, with whatever it cannot express named by its origin."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from edgepose.engines.ncnn_origin import Node, find_origins
from edgepose.engines.ncnn_param import Layer, parse_param
from edgepose.errors import BuildError, UnsupportedModelError
from edgepose.graph.spec import Graph
from edgepose.runners.native_ncnn import LEFT_OUT_LAYERS

PARAM, BIN = "model.ncnn.param", "model.ncnn.bin"
_TIMEOUT_S = 600
_ALONE_S = 20  # one operator; a fraction of a second is usual
_MOST_SHOWN = 6
_UNCONVERTED = re.compile(r"^todo (\S+)$", re.MULTILINE)  # in pnnx's log: handed on as it is
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # of a terminal
# Loading runs in a process of its own: ncnn may crash on a net that it cannot express. It would
# name only the first layer that it lacks.
_LOAD = """
import sys, ncnn
param, bin, *kinds = sys.argv[1:]
unknown = [kind for kind in kinds if ncnn.create_layer(kind) is None]
print(*unknown)
net = ncnn.Net()
sys.exit(1 if unknown or net.load_param(param) or net.load_model(bin) else 0)
"""


def convert(graph: Graph, folder: Path, half_weights: bool) -> None:
    """Write ``graph`` as a param/bin pair into ``folder``, where pnnx may leave more files.

    Raises UnsupportedModelError that names the operators which ncnn or our runner cannot express,
    and BuildError where pnnx or ncnn fails.
    """
    shapes = ",".join(
        "[" + ",".join(str(size) for size in tensor.shape) + "]f32" for tensor in graph.inputs
    )
    # pnnx writes beside its input under names made from the input's name.
    (folder / "model.onnx").write_bytes(graph.path.read_bytes())
    words = ["model.onnx", f"inputshape={shapes}", f"fp16={int(half_weights)}"]
    done = _pnnx(words, folder, _TIMEOUT_S)
    if done.returncode or not (folder / PARAM).is_file():
        log = _COLOURS.sub("", done.stdout + done.stderr).strip().splitlines()
        crashing = find_origins(graph.path, (), _layer_types).crashing
        culprits = f". It does so on this alone: {_listed(crashing)}" if crashing else ""
        raise BuildError(
            f"pnnx ended with exit code {done.returncode}: {' | '.join(log[-3:])}{culprits}",
            hint="Try the recipe onnxruntime-fp32, or export the model with simpler operators.",
        )
    _check_layers(graph, folder, _UNCONVERTED.findall(done.stdout + done.stderr))


def _check_layers(graph: Graph, folder: Path, unconverted: Collection[str]) -> None:
    """``unconverted`` operators may share a layer's name (ArgMax) and not its parameters."""
    layers = parse_param((folder / PARAM).read_text())
    kinds = sorted({layer.type for layer in layers})
    words = [sys.executable, "-c", _LOAD, str(folder / PARAM), str(folder / BIN), *kinds]
    done = _run(words, folder, _TIMEOUT_S)
    unknown = sorted({*done.stdout.split(), *unconverted} & set(kinds))
    left_out = sorted(set(kinds) & set(LEFT_OUT_LAYERS))
    if unknown:
        raise UnsupportedModelError(
            f"ncnn has no layer for {_blamed(graph, layers, unknown)}",
            hint="Leave them out of the graph (decoding belongs outside), or use another recipe.",
        )
    if left_out:
        raise UnsupportedModelError(
            f"edgepose's ncnn runner is built without {_blamed(graph, layers, left_out)}",
            hint="Write them with other operators (a 1-D convolution as a 2-D one of height 1), or "
            "use another engine's recipe.",
        )
    if done.returncode:
        raise BuildError(
            f"ncnn cannot load the converted net (exit code {done.returncode}): "
            f"{done.stderr.strip()[-300:] or 'no message'}",
            hint="Try the recipe onnxruntime-fp32.",
        )


def _blamed(graph: Graph, layers: Sequence[Layer], kinds: Collection[str]) -> str:
    """Each of ``kinds`` with the nodes of ``graph`` that it comes from."""
    origins = find_origins(graph.path, kinds, _layer_types).of
    parts = []
    for kind in kinds:
        names = [layer.name for layer in layers if layer.type == kind]
        nodes = origins[kind]
        if not nodes:
            parts.append(f"{kind} (pnnx's {', '.join(names[:_MOST_SHOWN])})")
            continue
        # Some nodes may have gone into a layer for several: then more are listed than are meant.
        among = f"{len(names)} of these: " if len(nodes) > len(names) else ""
        parts.append(f"{kind} ({among}{_listed(nodes)})")
    return ", ".join(parts)


def _listed(nodes: Sequence[Node]) -> str:
    more = len(nodes) - _MOST_SHOWN
    shown = "; ".join(map(str, nodes[:_MOST_SHOWN]))
    return f"{shown}; and {more} more" if more > 0 else shown


def _layer_types(onnx_file: Path) -> frozenset[str] | None:
    with tempfile.TemporaryDirectory(prefix="edgepose-") as scratch:
        folder = Path(scratch)
        (folder / "model.onnx").write_bytes(onnx_file.read_bytes())
        try:
            done = _pnnx(["model.onnx"], folder, _ALONE_S)
        except BuildError:  # it hangs, which is no better
            return None
        if done.returncode or not (folder / PARAM).is_file():
            return None
        return frozenset(layer.type for layer in parse_param((folder / PARAM).read_text()))


def _pnnx(words: list[str], folder: Path, timeout_s: float) -> "subprocess.CompletedProcess[str]":
    import pnnx

    return _run([pnnx.EXEC_PATH, *words], folder, timeout_s)


def _run(words: list[str], folder: Path, timeout_s: float) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            words,
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",  # a crashing program says anything
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BuildError(
            f"{Path(words[0]).name} was stopped after {timeout_s} s", hint="Try another recipe."
        ) from None
