"""``python -m tests.engines.tvm_tuner ONNX FOLDER``: a record per kernel, as tuners leave them.

Each says: unroll the innermost loop. Nothing is measured.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from edgepose.engines.tvm import fast_stack
from edgepose.engines.tvm.hardware import tvm_target
from edgepose.engines.tvm.process import Event, serve
from edgepose.targets import load_target


def tune(folder: Path, report: Callable[[Event], None]) -> None:
    from tvm.s_tir import Schedule
    from tvm.s_tir.meta_schedule.arg_info import ArgInfo
    from tvm.s_tir.meta_schedule.database import JSONDatabase, TuningRecord

    from edgepose.engines.tvm.lower import lower, tasks_of, to_tvm

    target = tvm_target(load_target("host"))
    (folder / "records").mkdir()
    database = JSONDatabase(work_dir=str(folder / "records"))
    for _, kernel in tasks_of(lower(Path(sys.argv[1]), target), target):
        schedule = Schedule(kernel)
        for block in schedule.get_child_blocks(schedule.get_sblock("root")):
            schedule.unroll(schedule.get_loops(block)[-1])
        workload = database.commit_workload(kernel)
        arguments = ArgInfo.from_entry_func(kernel)
        database.commit_tuning_record(
            TuningRecord(schedule.trace, workload, [1e-3], to_tvm(target), arguments)
        )


if __name__ == "__main__":
    fast_stack.install()
    sys.exit(serve(tune, Path(sys.argv[2])))
