"""Any small net through any engine, as a build would do it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgepose.engines import find_engine
from edgepose.engines.base import Artifact, Session
from edgepose.graph.check import read_graph
from edgepose.graph.simplify import simplify
from edgepose.recipes import load_recipe
from edgepose.targets import load_target

Load = Callable[[Path, str], Session]
Compile = Callable[[Path, str], Artifact]


@pytest.fixture
def compile_onnx(tmp_path: Path) -> Compile:
    """A function from an ONNX file and a recipe's name to the artifact for this host."""

    def compile_it(onnx_file: Path, recipe: str) -> Artifact:
        simple, folder = tmp_path / "simple.onnx", tmp_path / recipe
        simplify(onnx_file, simple)
        folder.mkdir()
        how = load_recipe(recipe)
        graph = read_graph(simple, how.max_opset)
        return find_engine(how.engine).compile(graph, load_target("host"), how, folder)

    return compile_it


@pytest.fixture
def load_onnx(compile_onnx: Compile) -> Load:
    """A function from an ONNX file and a recipe's name to a session on this host."""

    def load(onnx_file: Path, recipe: str) -> Session:
        artifact = compile_onnx(onnx_file, recipe)
        return find_engine(load_recipe(recipe).engine).load(artifact)

    return load
