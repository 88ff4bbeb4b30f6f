"""Which task comes next, what a tuning says of itself, and what counts as whose failure."""

import math
from pathlib import Path
from typing import Any

import pytest

from edgepose.deadline import duration_text
from edgepose.tuning.candidate import BOARD, RUN, Job, Outcome, measure_at
from edgepose.tuning.progress import latency_text, line
from edgepose.tuning.scheduler import TaskState, estimate_s, next_task, share_of_operations
from edgepose.tuning.settings import SearchSettings


def task(name: str, flops: float = 1.0, weight: int = 1, **known: Any) -> TaskState:
    return TaskState(name, weight, flops, **known)


def choose(tasks: list[TaskState], *busy: int) -> int | None:
    return next_task(tasks, frozenset(busy), alpha=0.2, window=3)


def test_every_task_comes_once_first_the_one_with_most_operations() -> None:
    tasks = [task("small", 1), task("often", 3, weight=4), task("large", 10)]
    order = []
    for _ in tasks:
        index = choose(tasks)
        assert index is not None
        order.append(tasks[index].name)
        tasks[index].add_round([1.0])
    assert order == ["often", "large", "small"]


def test_then_the_one_that_promises_to_save_most() -> None:
    slow = task("slow", history_s=[8.0, 4.0])
    quick = task("quick", history_s=[0.2, 0.1])
    assert choose([quick, slow]) == 1
    settled = task("settled", history_s=[4.0] * 30)
    falling = task("falling", history_s=[4.0, 3.0, 2.0])
    assert choose([settled, falling]) == 1


def test_a_task_that_runs_often_counts_as_often() -> None:
    assert choose([task("once", history_s=[1.0]), task("twice", weight=2, history_s=[1.0])]) == 1


def test_a_task_without_a_success_is_tried_three_times_and_then_last() -> None:
    barren = task("barren")
    other = task("other", history_s=[1.0])
    for _ in range(3):
        assert choose([barren, other]) == 0
        barren.add_round([None, None])
    assert (barren.trials, barren.failed, barren.best_s) == (6, 6, None)
    assert choose([barren, other]) == 1
    assert choose([barren]) == 0


def test_busy_and_exhausted_tasks_are_not_chosen() -> None:
    tasks = [task("a", history_s=[1.0]), task("b", history_s=[2.0])]
    assert choose(tasks, 1) == 0
    tasks[0].exhausted = True
    assert choose(tasks, 1) is None


def test_the_estimate_is_the_sum_over_the_tasks_as_often_as_each_runs() -> None:
    tasks = [
        task("a", 10, weight=3, history_s=[2.0, 1.0]),
        task("b", 10, history_s=[math.inf, 0.5]),
        task("c", 60),
    ]
    assert estimate_s(tasks) == (3.5, 1)
    assert share_of_operations(tasks) == pytest.approx(40 / 100)


class Place:
    """A board that answers what a test says; the real ones stand in test_session."""

    device = None

    def __init__(self, throttled: list[str], fail_in: str = "") -> None:
        self.throttled, self.fail_in = throttled, fail_in
        self.timed = 0

    def _maybe_fail(self, where: str) -> None:
        if where == self.fail_in:
            raise RuntimeError(f"the link was lost\n  in {where}")

    def wait_until_cool(self, settings: SearchSettings) -> dict[str, Any]:
        self._maybe_fail("wait")
        return {"throttled": "0x50000"}

    def health(self) -> dict[str, Any]:
        return {"throttled": self.throttled.pop(0)}

    def load(self, library: str) -> "Place":
        self._maybe_fail("load")
        return self

    def tensor(self, dtype: str, shape: tuple[int, ...]) -> None:
        self._maybe_fail("tensor")

    entry_name = "main"

    def time_evaluator(self, *names: Any, **numbers: Any) -> Any:
        def run(*arguments: Any) -> Any:
            self._maybe_fail("run")
            self.timed += 1
            return type("Result", (), {"results": [0.003, 0.002, 0.004]})

        return run

    def clean(self, library: str) -> None:
        pass


def outcome_at(place: Place) -> tuple[Outcome, list[str]]:
    phases: list[str] = []
    job = Job(
        library="x.so",
        arguments=(("float32", (1,)),),
        tracker_port=None,
        key="",
        best_s=None,
        phase_file="",
        settings=SearchSettings(),
    )
    return measure_at(place, job, phases.append), phases


def test_the_best_repeat_counts() -> None:
    outcome, phases = outcome_at(Place(["0x50000"]))
    assert outcome == Outcome(seconds=0.002)
    assert phases == [RUN, BOARD]


@pytest.mark.parametrize("bits", ["0x4", "0xd0000"], ids=["throttled now", "throttled meanwhile"])
def test_what_was_timed_while_throttled_is_discarded_and_repeated(bits: str) -> None:
    place = Place([bits, bits, "0x50000"])
    outcome, _ = outcome_at(place)
    assert outcome.seconds == 0.002
    assert place.timed == 3 * 2


def test_a_board_that_goes_on_throttling_is_at_fault_not_the_candidate() -> None:
    outcome, _ = outcome_at(Place(["0x4"] * 9))
    assert (outcome.at_fault, outcome.seconds) == ("board", None)


@pytest.mark.parametrize(
    ("where", "fault"),
    [("wait", "board"), ("load", "board"), ("tensor", "board"), ("run", "candidate")],
)
def test_only_what_fails_while_it_runs_is_the_candidates_fault(where: str, fault: str) -> None:
    outcome, _ = outcome_at(Place(["0x0"], fail_in=where))
    assert outcome.at_fault == fault
    assert outcome.text == f"RuntimeError: in {where}"


def test_progress_says_what_is_missing_in_the_estimate() -> None:
    event = {
        "event": "round",
        "task": "fused_conv2d",
        "task_trials": 8,
        "task_best_ms": 0.5,
        "trials": 24,
        "failed": 2,
        "estimate_ms": 12.345,
        "tasks_missing": 3,
        "share": 0.5,
        "elapsed_s": 150.0,
        "failure": None,
    }
    assert line(event) == (
        "2 min: 24 trials, 2 failed | net 12.35 ms without 3 untried tasks | "
        "fused_conv2d 0.5 ms after 8"
    )
    assert "has no success" in line(event | {"task_best_ms": None})
    assert line(event | {"failure": "it crashed"}).endswith("last failure: it crashed")


def test_times_are_told_in_the_unit_that_people_would_use() -> None:
    assert [duration_text(each) for each in (3.2, 600, 7200)] == ["3 s", "10 min", "2.0 h"]
    assert latency_text(0.1234, 0) == "0.123 ms"
    assert latency_text(12.3456, 1) == "12.35 ms without 1 untried task"


def test_settings_survive_the_way_to_the_tuning_process(tmp_path: Path) -> None:
    import msgspec

    settings = SearchSettings(round_size=3, unroll_steps=(1, 2))
    assert msgspec.json.decode(msgspec.json.encode(settings), type=SearchSettings) == settings
