"""A task as the search sees it: its kernel, its trials, what comes before guessing. Imports tvm."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import msgspec
import tvm
from tvm.s_tir import meta_schedule as ms

from edgepose.engines.tvm.hardware import TvmTarget
from edgepose.engines.tvm.lower import tasks_of, to_tvm
from edgepose.engines.tvm.record_lines import RecordLines, read_lines, trial_key, workload_hash
from edgepose.engines.tvm.schedules import schedules, start_schedule
from edgepose.engines.tvm.tiles import Machine, machine_of
from edgepose.errors import UsageError
from edgepose.tuning.scheduler import TaskState
from edgepose.tuning.settings import SearchSettings
from edgepose.tuning.space import space_generator, strategy

_NO_WORKLOAD = ms.database.Workload(tvm.IRModule({}))


@dataclass
class Task:
    """``measured`` has the key of every schedule that was timed: seconds, None where it failed.

    ``records`` are trials of earlier sessions that the cost model has not seen yet, ``seeds`` the
    best of another database, ``by_rule`` candidates that need no search, the best guess first.
    """

    state: TaskState
    context: Any
    workload: Any
    by_rule: Iterator[Any]
    measured: dict[str, float | None] = field(default_factory=dict)
    records: list[Any] = field(default_factory=list)
    seeds: list[Any] = field(default_factory=list)
    ready: bool = False
    stale_rounds: int = 0

    def before_guessing(self, settings: SearchSettings) -> list[Any]:
        """At most a round of candidates that come before the search's own: none in its turns."""
        size, rounds = settings.round_size, len(self.state.history_s)
        seeds, self.seeds = self.seeds[:size], self.seeds[size:]
        if rounds >= settings.rounds_by_rule and rounds % 2:
            return seeds
        return [*seeds, *self.next_by_rule(size - len(seeds))]

    def next_by_rule(self, count: int) -> list[Any]:
        """At most ``count`` candidates by rule that were not measured yet."""
        fresh = (each for each in self.by_rule if key_of(each) not in self.measured)
        return list(islice(fresh, count))

    def remember(self, lines: RecordLines, round_size: int) -> None:
        """Take up what ``lines`` hold of it: none is measured twice, and rounds go on counting."""
        mine = _trials_of(self, lines)
        self.measured = {trial.key: trial.seconds for trial in mine}
        self.records = [_record(self, trial.body) for trial in mine]
        for start in range(0, len(mine), round_size):
            self.state.add_round([trial.seconds for trial in mine[start : start + round_size]])

    def plant(self, lines: RecordLines, count: int) -> None:
        """Measure the ``count`` best of ``lines``, of another database, before all else."""
        mine = [trial for trial in _trials_of(self, lines) if trial.seconds is not None]
        fresh = [trial for trial in mine if trial.key not in self.measured]
        ranked = sorted(fresh, key=lambda trial: trial.seconds or 0.0)
        self.seeds = [_record(self, each.body).as_measure_candidate() for each in ranked[:count]]


def make_tasks(
    module: tvm.IRModule,
    target: TvmTarget,
    database: Any,
    names: Sequence[str],
    threads: int,
    settings: SearchSettings,
) -> list[Task]:
    """The tasks of a lowered ``module`` with one of ``names`` in theirs, none: all.

    Raises UsageError where there is no such task.
    """
    pairs = tasks_of(module, target)
    chosen = [
        (task, kernel)
        for task, kernel in pairs
        if not names or any(name in task.name for name in names)
    ]
    if not chosen:
        raise UsageError(
            f"no task has any of {', '.join(names)} in its name",
            hint=f"The tasks are: {', '.join(task.name for task, _ in pairs)}.",
        )
    made = []
    for task, kernel in chosen:
        context = ms.TuneContext(
            mod=kernel,
            target=to_tvm(target),
            space_generator=space_generator(settings, target.block),
            search_strategy=strategy(settings),
            task_name=task.name,
            rand_state=settings.seed + 1,
            num_threads=threads,
        ).clone()
        state = TaskState(task.name, task.weight, task.flops)
        workload = database.commit_workload(context.mod)
        made.append(Task(state, context, workload, _by_rule(kernel, machine_of(target))))
    return made


def key_of(candidate: Any) -> str:
    """The key of a candidate's schedule, the same as that of its trial."""
    record = ms.database.TuningRecord(candidate.sch.trace, _NO_WORKLOAD, None, None, None)
    return trial_key(msgspec.json.encode(record.as_json()[0]))


def read_seeds(folder: Path | None) -> RecordLines:
    """The trials in ``folder``, none without a folder."""
    return read_lines(folder) if folder else RecordLines((), ())


def _by_rule(kernel: tvm.IRModule, machine: Machine) -> Iterator[Any]:
    """Candidates that need no search; the first is what an untuned artifact has."""
    start = start_schedule(kernel, machine)
    # What follows begins with that same one, or is empty for a kernel without a sum.
    others = islice(schedules(kernel, machine), 1, None)
    for schedule in chain([start] if start else [], others):
        arguments = ms.arg_info.ArgInfo.from_entry_func(schedule.mod, remove_preproc=True)
        yield ms.search_strategy.MeasureCandidate(schedule, arguments)


def _trials_of(task: Task, lines: RecordLines) -> list[Any]:
    name = str(task.workload.as_json()[0])
    numbers = {n for n, line in enumerate(lines.workloads) if workload_hash(line) == name}
    return [trial for trial in lines.trials if trial.workload in numbers]


def _record(task: Task, body: bytes) -> Any:
    return ms.database.TuningRecord.from_json(msgspec.json.decode(body), task.workload)
