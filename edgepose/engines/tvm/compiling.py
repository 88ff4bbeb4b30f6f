"""Lowered kernels to a shared library. Imports tvm: only for processes that run a step."""

from collections.abc import Callable
from pathlib import Path

import tvm
from tvm.relax.transform import MetaScheduleApplyDatabase
from tvm.s_tir.meta_schedule.database import JSONDatabase, MemoryDatabase

from edgepose.engines.tvm.hardware import Task, TvmTarget
from edgepose.engines.tvm.lower import tasks_of, to_tvm
from edgepose.engines.tvm.schedules import schedule_rest
from edgepose.runners.toolchain import find_dynamic_toolchain, run_tool

_LINK_S = 300.0


def compile_library(
    module: tvm.IRModule, target: TvmTarget, records: Path | None, library: Path
) -> list[tuple[Task, bool]]:
    """Compile the lowered ``module`` with the best of ``records`` and link it as ``library``.

    Returns the net's kernels, each with whether a record told how to schedule it. Raises
    ToolchainError where this host cannot link for ``target``.
    """
    hardware = to_tvm(target)
    # Of a kernel that only failed, it finds no record.
    database = JSONDatabase(work_dir=str(records)) if records else MemoryDatabase()
    tuned = [
        (task, database.query_tuning_record(kernel, hardware, task.name) is not None)
        for task, kernel in tasks_of(module, target)
    ]
    with hardware, database:
        module = MetaScheduleApplyDatabase(enable_warning=False)(module)
    module = schedule_rest(module, target)
    executable = tvm.compile(module, target=hardware)
    executable.export_library(str(library), fcompile=linker(target.arch))
    return tuned


def linker(arch: str) -> Callable[..., None]:
    """The function that ``export_library`` links with, for ``arch``. Raises ToolchainError."""
    toolchain = find_dynamic_toolchain(arch)
    words = [*toolchain.compiler, "-shared", "-fPIC", "-s", "-Wl,--as-needed"]

    def link(output: str, objects: list[str], **options: object) -> None:
        run_tool([*words, "-o", output, *objects, "-lm"], "linking the kernels", _LINK_S)

    return link
