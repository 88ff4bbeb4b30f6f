"""The search itself: MetaSchedule's tasks, its guesses and its cost model, in a loop of our own.

TVM's own loop writes failures of a board down as the candidate's and tells nothing on the way; a
task that it resumes starts from nothing. Imports tvm: only for the tuning process.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tvm
from tvm.s_tir import meta_schedule as ms
from tvm.s_tir.meta_schedule.runner import RunnerResult

from edgepose.engines.tvm.hardware import TvmTarget
from edgepose.engines.tvm.lower import to_tvm
from edgepose.engines.tvm.record_lines import RecordWriter, read_lines
from edgepose.errors import RunError, ToolchainError
from edgepose.tuning.candidate import Outcome
from edgepose.tuning.pools import Builders, Measurers
from edgepose.tuning.scheduler import TaskState, estimate_s, next_task, share_of_operations
from edgepose.tuning.settings import SearchSettings
from edgepose.tuning.space import cost_model
from edgepose.tuning.tasks import Task, key_of, make_tasks, read_seeds

Report = Callable[[dict[str, Any]], None]
_MAX_STALE_ROUNDS = 3  # a task whose guesses were all measured before has nothing left
_MAX_UNBUILT_ROUNDS = 3


@dataclass(frozen=True)
class _Round:
    """Candidates under way; those measured before are not among ``futures``."""

    index: int
    candidates: Sequence[Any]
    outcomes: Mapping[int, "Outcome | Future[Outcome]"]


class Search:
    """Tunes the kernels of a lowered ``module``; what a round measured is in ``folder`` at its end.

    ``scratch`` is for TVM's own copy of the records. ``names`` are parts of the names of the tasks
    that are wanted, none: all. Raises UsageError where there is no such task.
    """

    def __init__(
        self,
        module: tvm.IRModule,
        target: TvmTarget,
        folder: Path,
        scratch: Path,
        *,
        names: Sequence[str] = (),
        seeds: Path | None = None,
        threads: int,
        settings: SearchSettings,
    ) -> None:
        self._settings = settings
        self._target = to_tvm(target)
        self._writer = RecordWriter(folder)
        self._database = ms.database.JSONDatabase(work_dir=str(scratch))
        self._model = cost_model(settings)
        self._tasks = make_tasks(module, target, self._database, names, threads, settings)
        known, others = read_lines(folder), read_seeds(seeds)
        for task in self._tasks:
            task.remember(known, settings.round_size)
            task.plant(others, settings.seeds_per_task)
            for record in task.records:
                self._show(record)

    @property
    def states(self) -> list[TaskState]:
        return [task.state for task in self._tasks]

    def summary(self) -> dict[str, Any]:
        """Where the net as a whole stands."""
        total_s, missing = estimate_s(self.states)
        return {
            "trials": sum(state.trials for state in self.states),
            "failed": sum(state.failed for state in self.states),
            "estimate_ms": total_s * 1e3,
            "tasks_missing": missing,
            "share": share_of_operations(self.states),
        }

    def run(
        self,
        builders: Builders,
        measurers: Measurers,
        *,
        trials: int,
        until: float | None,
        rounds_ahead: int,
        report: Report,
    ) -> str:
        """Measure ``trials`` more candidates, or until the monotonic clock reaches ``until``.

        ``rounds_ahead`` rounds are built while boards measure (0: never both at once, for a board
        that is this host). Returns what ended it: ``trials``, ``time`` or ``exhausted``. Raises
        RunError where no board can be had any more, ToolchainError where nothing builds.
        """
        under_way: deque[_Round] = deque()
        started = time.monotonic()
        left, unbuilt, why = trials, 0, ""

        def join() -> None:
            finished = under_way.popleft()
            self._join(finished)
            report(self._progress(finished, started))

        while not why:
            busy = frozenset(each.index for each in under_way)
            index = next_task(
                self.states,
                busy,
                alpha=self._settings.gradient_alpha,
                window=self._settings.gradient_window,
            )
            if left <= 0:
                why = "trials"
            elif until is not None and time.monotonic() >= until:
                why = "time"
            elif index is not None:
                begun = self._begin(index, left, builders, measurers)
                if begun:
                    left -= len(begun.outcomes)
                    built = any(not isinstance(each, Outcome) for each in begun.outcomes.values())
                    unbuilt = 0 if built or not begun.outcomes else unbuilt + 1
                    _stop_where_nothing_builds(begun, unbuilt)
                    under_way.append(begun)
            elif not under_way:
                why = "exhausted"
            if len(under_way) > rounds_ahead or (index is None and under_way):
                join()
        while under_way:
            join()
        return why

    def _begin(
        self, index: int, limit: int, builders: Builders, measurers: Measurers
    ) -> _Round | None:
        """Guess, build and send off at most ``limit`` candidates of the task ``index``.

        None where it has none left, which is written down.
        """
        task = self._tasks[index]
        candidates = (
            task.before_guessing(self._settings)
            or self._guess(task)
            or task.next_by_rule(self._settings.round_size)
        )
        keys = [key_of(candidate) for candidate in candidates]
        firsts = {key: n for n, key in reversed(list(enumerate(keys))) if key not in task.measured}
        fresh = sorted(firsts.values())[:limit]
        task.stale_rounds = 0 if fresh else task.stale_rounds + 1
        if not candidates or task.stale_rounds >= _MAX_STALE_ROUNDS:
            task.state.exhausted = True
            return None
        built = builders.build([candidates[n].sch.mod for n in fresh], self._target)
        outcomes: dict[int, Outcome | Future[Outcome]] = {}
        for n, library in zip(fresh, built, strict=True):
            outcomes[n] = (
                library
                if isinstance(library, Outcome)
                else measurers.submit(library, candidates[n].args_info, task.state.best_s)
            )
        wanted = {n for n, key in enumerate(keys) if key in task.measured} | outcomes.keys()
        return _Round(
            index, [c if n in wanted else None for n, c in enumerate(candidates)], outcomes
        )

    def _guess(self, task: Task) -> list[Any]:
        if not task.ready:
            task.ready = True
            task.context.pre_tuning(
                2**31 - 1,
                self._settings.round_size,
                task.context.generate_design_space(),
                self._database,
                self._model,
            )
            if task.records:
                self._teach(task)
        return list(task.context.generate_measure_candidates() or [])

    def _teach(self, task: Task) -> None:
        """Show the cost model the records of an earlier session."""
        results = [RunnerResult(record.run_secs, None) for record in task.records]
        candidates = [record.as_measure_candidate() for record in task.records]
        self._model.update(task.context, candidates, results)
        task.records = []

    def _join(self, finished: _Round) -> None:
        """Wait for the round, write its trials down, and let the search learn from them."""
        task = self._tasks[finished.index]
        candidates, results, seconds = [], [], []
        trouble: str | None = None
        for n, candidate in enumerate(finished.candidates):
            if candidate is None:
                continue
            key = key_of(candidate)
            if n in finished.outcomes:
                outcome = finished.outcomes[n]
                outcome = outcome if isinstance(outcome, Outcome) else outcome.result()
                if outcome.at_fault == "board":
                    trouble = trouble or outcome.text
                    continue
                task.measured[key] = outcome.seconds
                seconds.append(outcome.seconds)
                self._write(task, candidate, outcome)
            known = task.measured[key]
            candidates.append(candidate)
            results.append(
                RunnerResult(None, "failed") if known is None else RunnerResult([known], None)
            )
        if trouble is not None:
            raise RunError(
                f"no board could time {task.state.name}: {trouble}",
                hint="What was measured is kept: mend the board and run the same command again.",
            )
        task.state.add_round(seconds)
        if task.ready:
            task.context.notify_runner_results(candidates, results)
        self._model.update(task.context, candidates, results)

    def _write(self, task: Task, candidate: Any, outcome: Outcome) -> None:
        times = [1e10 if outcome.seconds is None else outcome.seconds]
        record = ms.database.TuningRecord(
            candidate.sch.trace, task.workload, times, self._target, candidate.args_info
        )
        self._writer.append(task.workload.as_json(), record.as_json())
        self._show(record)

    def _show(self, record: Any) -> None:
        """Let the search start from ``record``, if it left something to chance that can change."""
        if record.trace.decisions:
            self._database.commit_tuning_record(record)

    def _progress(self, finished: _Round, started: float) -> dict[str, Any]:
        state = self._tasks[finished.index].state
        failures = [each for each in finished.outcomes.values() if isinstance(each, Outcome)]
        return {
            "event": "round",
            "task": state.name,
            "task_trials": state.trials,
            "task_best_ms": None if state.best_s is None else state.best_s * 1e3,
            **self.summary(),
            "elapsed_s": time.monotonic() - started,
            "failure": failures[0].text if failures else None,
        }


def _stop_where_nothing_builds(begun: _Round, rounds: int) -> None:
    failures = [each for each in begun.outcomes.values() if isinstance(each, Outcome)]
    if rounds >= _MAX_UNBUILT_ROUNDS and failures:
        raise ToolchainError(
            f"no candidate of {rounds} rounds could be compiled: {failures[-1].text}",
            hint="See whether `edgepose build` compiles the net untuned.",
        )
