"""The Engine protocol: one module per compiler/runtime pair implements these verbs."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgepose.graph.spec import Graph, TensorSpec
from edgepose.recipes import Recipe
from edgepose.runners.pack import RunnerProgram
from edgepose.targets import Target

Tensors = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class ToolStatus:
    """Whether a toolchain is usable here; ``fix`` says how to get what is missing."""

    available: bool
    versions: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    fix: str = ""


@dataclass(frozen=True)
class Artifact:
    """What an engine produced: files in ``folder``, and what a runner must know to load them."""

    folder: Path
    files: tuple[str, ...]
    options: Mapping[str, Any]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Session(Protocol):
    """A loaded artifact on this host."""

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """One inference; outputs by name, float32."""
        ...


class Engine(Protocol):
    """``check`` before anything else, ``compile`` once per bundle, ``load`` to prove it here.

    ``native`` tells that its runner is an executable: the device needs nothing else then.
    """

    name: str
    native: bool

    def check(self) -> ToolStatus:
        """Is the toolchain installed on this host? Never imports it."""
        ...

    def compile(self, graph: Graph, target: Target, recipe: Recipe, into: Path) -> Artifact:
        """Write the artifact's files into the folder ``into``.

        Raises ToolchainError where the compiler is missing and UnsupportedModelError for
        operators that it cannot express.
        """
        ...

    def runner(self, target: Target) -> RunnerProgram:
        """The program that runs its artifacts on ``target``.

        Raises ToolchainError where it must be compiled and cannot be.
        """
        ...

    def load(self, artifact: Artifact, threads: int = 1) -> Session:
        """Load for running on this host, on ``threads`` CPU threads."""
        ...


@runtime_checkable
class PinningEngine(Protocol):
    """An engine that can keep single layers of a half-precision artifact in single precision."""

    def pinnable(self, artifact: Artifact) -> tuple[str, ...]:
        """Names of the layers that compute something, in the order of execution."""
        ...

    def pin(self, artifact: Artifact, layers: Collection[str], into: Path) -> Artifact:
        """Write ``artifact`` with ``layers`` in single precision into the folder ``into``.

        ``artifact`` must be as compiled: pins do not add up. ``into`` may be its own folder.
        """
        ...

    def exact_options(self, artifact: Artifact) -> Mapping[str, Any]:
        """Load options that make all of ``artifact`` compute in single precision."""
        ...
