"""``python -m edgepose.engines.tvm.steps STEP FOLDER``: one step of a build, in its own process.

``lower``: ``request.json`` → ``module.json`` (TVM's own format) and ``answer.json``.
``compile``: ``request.json`` → ``model.so`` and ``answer.json``.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from edgepose.deadline import Deadline
from edgepose.engines.tvm import fast_stack
from edgepose.engines.tvm.hardware import Task, TvmTarget
from edgepose.engines.tvm.process import Event, run_child, serve
from edgepose.files import write_atomic

MODULE, LIBRARY = "module.json", "model.so"
_REQUEST, _ANSWER = "request.json", "answer.json"
_Answer = TypeVar("_Answer")


class _Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of what the two sides tell each other."""


class LowerRequest(_Data, frozen=True, kw_only=True):
    onnx: str
    target: TvmTarget


class Lowered(_Data, frozen=True, kw_only=True):
    tasks: tuple[Task, ...]


class CompileRequest(_Data, frozen=True, kw_only=True):
    """``records`` is the folder of a tuning database, None for an untuned artifact."""

    onnx: str
    target: TvmTarget
    records: str | None


class Compiled(_Data, frozen=True, kw_only=True):
    """Of ``tasks``, ``tuned_tasks`` had a record; they do ``tuned_share`` of the operations."""

    tasks: int
    tuned_tasks: int
    tuned_share: float


def lower_apart(request: LowerRequest, folder: Path, deadline: Deadline) -> Lowered:
    """Lower in a process of its own; the module lies at ``folder / MODULE`` then.

    Raises UnsupportedModelError for an operator that TVM lacks, else BuildError.
    """
    return _ask("lower", request, Lowered, folder, deadline, "lowering with TVM")


def compile_apart(request: CompileRequest, folder: Path, deadline: Deadline) -> Compiled:
    """Lower and compile in a process of its own; the library lies at ``folder / LIBRARY`` then.

    Raises UnsupportedModelError, ToolchainError where nothing can link it, else BuildError.
    """
    return _ask("compile", request, Compiled, folder, deadline, "compiling with TVM")


def _ask(
    step: str, request: _Data, answer: type[_Answer], folder: Path, deadline: Deadline, doing: str
) -> _Answer:
    write_atomic(folder / _REQUEST, msgspec.json.encode(request))
    run_child(__name__, [step], folder, deadline, doing=doing)
    return msgspec.json.decode((folder / _ANSWER).read_bytes(), type=answer)


def _lower(folder: Path, report: Callable[[Event], None]) -> None:
    from edgepose.engines.tvm.lower import lower, save, tasks_of

    request = msgspec.json.decode((folder / _REQUEST).read_bytes(), type=LowerRequest)
    module = lower(Path(request.onnx), request.target)
    save(module, folder / MODULE)
    tasks = tuple(task for task, _ in tasks_of(module, request.target))
    write_atomic(folder / _ANSWER, msgspec.json.encode(Lowered(tasks=tasks)))


def _compile(folder: Path, report: Callable[[Event], None]) -> None:
    from edgepose.engines.tvm.compiling import compile_library
    from edgepose.engines.tvm.lower import lower

    request = msgspec.json.decode((folder / _REQUEST).read_bytes(), type=CompileRequest)
    records = Path(request.records) if request.records else None
    module = lower(Path(request.onnx), request.target)
    tuned = compile_library(module, request.target, records, folder / LIBRARY)
    flops = sum(task.weight * task.flops for task, _ in tuned)
    answer = Compiled(
        tasks=len(tuned),
        tuned_tasks=sum(has_record for _, has_record in tuned),
        tuned_share=sum(task.weight * task.flops for task, has_record in tuned if has_record)
        / max(flops, 1),
    )
    write_atomic(folder / _ANSWER, msgspec.json.encode(answer))


def main(step: str, folder: str) -> int:
    fast_stack.install()
    return serve({"lower": _lower, "compile": _compile}[step], Path(folder))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
