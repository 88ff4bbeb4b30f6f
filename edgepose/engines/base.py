"""The Engine protocol: one module per compiler/runtime pair implements these verbs."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec
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


class Tuning(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How far an artifact was tuned: on the board, by a stand-in for it (``proxy``), or not.

    ``tuned_share`` is the share of the net's floating-point operations in kernels with a record.
    ``trials`` and ``records_sha256`` are those of the database, None without one. Where
    ``emulated``, the board was an emulated one, whose times say nothing.
    """

    tuned: Literal["no", "proxy", "board"]
    tuner: str
    tvm_version: str
    trials: int | None
    records_sha256: str | None
    tasks: int
    tuned_tasks: int
    tuned_share: float
    emulated: bool = False


@dataclass(frozen=True)
class Artifact:
    """What an engine produced: files in ``folder``, and what a runner must know to load them.

    ``tuning`` is None for an engine that does not tune. ``any_batch``: a session takes any number
    of images at once, whatever the first dimension of ``inputs`` says.
    """

    folder: Path
    files: tuple[str, ...]
    options: Mapping[str, Any]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    tuning: Tuning | None = None
    any_batch: bool = False


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


@runtime_checkable
class TuningEngine(Protocol):
    """An engine whose artifacts depend on tuning records that lie on this host."""

    def records_key(self, graph_hash: str, target: Target) -> str | None:
        """What ``compile`` would use now, ``board:…`` or ``proxy:…``; None without any records."""
        ...

    def has_board_records(self, graph_hash: str, target: Target) -> bool:
        """Whether ``compile`` would use records that were measured on a board."""
        ...

    def tuned_on_board(self, model: str, target: Target) -> bool:
        """Whether there may be records of ``model`` from a board; its graph is not looked at."""
        ...
