"""The first half of a build: a plain graph with golden data, kept in the cache for all recipes."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgepose.engines import usable_engine
from edgepose.engines.base import Artifact
from edgepose.errors import ConfigError, ToolchainError, UsageError
from edgepose.files import folder_atomic, sha256_file
from edgepose.fingerprint import fingerprint, package_version, source_hash
from edgepose.graph.spec import Graph
from edgepose.graph.topology import topology_hash
from edgepose.model_source import ModelSource
from edgepose.places import user_cache
from edgepose.prove.golden_data import Golden, save_golden
from edgepose.prove.golden_images import GoldenCase, golden_cases, images_of, seeded_case
from edgepose.runners.plan import GoldenPaths
from edgepose.zoo import InputSpec, ModelSpec

GRAPH_TOOLS = ("torch", "onnx", "onnxslim", "onnxruntime")
# Of pose/ only what golden data and proofs use: nobody's graph changes with how people are drawn.
GRAPH_CODE = (
    *("graph", "prove", "prepare.py"),
    *("pose/decode", "pose/nms.py", "pose/oks.py", "pose/preprocess.py", "pose/result.py"),
)


class Prepared(msgspec.Struct, frozen=True):
    """A graph with its golden data, before any engine saw it; paths are relative to ``folder``.

    ``graph_hash`` is the graph's without its weights: tuning records are found by it.
    """

    spec: ModelSpec
    graph: Graph
    golden: tuple[GoldenPaths, ...]
    graph_hash: str
    folder: Path = Path()


def graph_key(source: ModelSource, max_opset: int, images: Path | None) -> str:
    """Hash of everything that the prepared graph depends on. Raises UsageError."""
    return fingerprint(
        {
            "model": source.identity(),
            "max_opset": max_opset,
            "images": [sha256_file(path) for path in images_of(images)] if images else [],
            "code": source_hash(*GRAPH_CODE),
            "tools": {name: package_version(name) for name in GRAPH_TOOLS},
        }
    )


def prepare(
    source: ModelSource, max_opset: int, images: Path | None, key: str, force: bool
) -> Prepared:
    """Export (or read) the graph and compute its golden outputs, unless the cache has them."""
    place = user_cache() / "graphs" / key
    if force or not (place / "prepared.json").is_file():
        with folder_atomic(place) as folder:
            make = _from_onnx if source.onnx else _from_zoo
            spec, graph, cases = make(source, max_opset, images, folder)
            prepared = Prepared(
                spec=spec,
                graph=msgspec.structs.replace(graph, path=graph.path.relative_to(folder)),
                golden=save_golden(cases, folder, "golden"),
                graph_hash=topology_hash(graph.path),
            )
            (folder / "prepared.json").write_bytes(msgspec.json.encode(prepared, enc_hook=str))
    content = (place / "prepared.json").read_bytes()
    prepared = msgspec.json.decode(content, type=Prepared, dec_hook=lambda kind, text: kind(text))
    graph = msgspec.structs.replace(prepared.graph, path=place / prepared.graph.path)
    return msgspec.structs.replace(prepared, graph=graph, folder=place)


def _from_zoo(
    source: ModelSource, max_opset: int, images: Path | None, folder: Path
) -> tuple[ModelSpec, Graph, list[Golden]]:
    missing = [name for name in ("torch", "onnx", "onnxslim") if not package_version(name)]
    if missing:
        raise ToolchainError(
            f"exporting {source.spec.name} needs {', '.join(missing)}, which this host lacks",
            hint="Install it with `pip install 'edgepose[torch]'`.",
        )
    from edgepose.graph.create import create_model
    from edgepose.graph.export import INPUT_NAME, export, run_net

    spec = source.spec
    assert spec.input is not None, "every zoo model says its input"
    net = create_model(spec, source.weights)
    graph = export(net, spec, max_opset, folder / "model.onnx")
    inputs = golden_cases(spec.input, images)
    outputs = run_net(net, spec, [case.tensor for case in inputs])
    cases = [
        Golden(case.name, {INPUT_NAME: case.tensor}, named)
        for case, named in zip(inputs, outputs, strict=True)
    ]
    return spec, graph, cases


def _from_onnx(
    source: ModelSource, max_opset: int, images: Path | None, folder: Path
) -> tuple[ModelSpec, Graph, list[Golden]]:
    """The reference of a user's ONNX file is the file as it came, run without optimisation."""
    assert source.onnx is not None
    engine = usable_engine("onnxruntime")
    from edgepose.graph.check import count_weights, read_graph
    from edgepose.graph.simplify import simplify

    original = read_graph(source.onnx, max_opset)
    spec = _complete(source, original, count_weights(source.onnx))
    simplify(source.onnx, folder / "model.onnx")
    graph = read_graph(folder / "model.onnx", max_opset)
    options = {"graph_optimization": "disabled"}
    (folder / "reference").mkdir()
    reference = folder / "reference" / "model.onnx"
    reference.write_bytes(source.onnx.read_bytes())
    session = engine.load(
        Artifact(reference.parent, ("model.onnx",), options, original.inputs, original.outputs)
    )
    cases = [
        Golden(case.name, tensors, session.run(tensors))
        for case, tensors in _onnx_inputs(spec, original, images)
    ]
    return spec, graph, cases


def _onnx_inputs(
    spec: ModelSpec, graph: Graph, images: Path | None
) -> Sequence[tuple[GoldenCase, dict[str, NDArray[np.float32]]]]:
    if spec.input is not None:
        name = graph.inputs[0].name
        return [(case, {name: case.tensor}) for case in golden_cases(spec.input, images)]
    if images is not None:
        raise UsageError(
            f"{graph.path} does not take one image [1, 3, height, width], so images do not apply",
            hint="Leave --golden out.",
        )
    # Each input gets noise of its own: a proof with equal inputs could not see them swapped.
    seeded = [seeded_case(tensor.shape, seed) for seed, tensor in enumerate(graph.inputs)]
    names = [tensor.name for tensor in graph.inputs]
    return [(seeded[0], {n: case.tensor for n, case in zip(names, seeded, strict=True)})]


def _complete(source: ModelSource, graph: Graph, parameters: int) -> ModelSpec:
    """The user's spec with what the graph tells: outputs, parameters, and the input's size."""
    spec = msgspec.structs.replace(
        source.spec,
        outputs=tuple(tensor.name for tensor in graph.outputs),
        parameters=parameters,
    )
    shape = graph.inputs[0].shape
    is_image = len(graph.inputs) == 1 and len(shape) == 4 and shape[:2] == (1, 3)
    if spec.input is None:
        size = InputSpec(height=shape[2], width=shape[3]) if is_image else None
        return msgspec.structs.replace(spec, input=size)
    told = (1, 3, spec.input.height, spec.input.width)
    if len(graph.inputs) != 1 or shape != told:
        raise ConfigError(
            f"{source.onnx}: its input is {list(shape)}, its TOML says {list(told)}",
            hint="Correct height and width in the [input] table of the TOML beside it.",
        )
    return spec
