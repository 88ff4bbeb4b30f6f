"""Which task to tune next: where the next round promises to save most of the net's time. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

_MAX_BARREN_ROUNDS = 3  # a task that had only failures in so many rounds comes last


@dataclass
class TaskState:
    """What is known of one task: it runs ``weight`` times per inference, ``flops`` each time.

    ``history_s`` is its best run time after each round, inf before the first success.
    """

    name: str
    weight: int
    flops: float
    trials: int = 0
    failed: int = 0
    history_s: list[float] = field(default_factory=list)
    exhausted: bool = False

    @property
    def best_s(self) -> float | None:
        """Its best run time, or None before its first success."""
        best = self.history_s[-1] if self.history_s else math.inf
        return best if math.isfinite(best) else None

    def add_round(self, seconds: Sequence[float | None]) -> None:
        """Add a round's run times, None for each failure."""
        succeeded = [value for value in seconds if value is not None]
        self.trials += len(seconds)
        self.failed += len(seconds) - len(succeeded)
        before = self.history_s[-1] if self.history_s else math.inf
        self.history_s.append(min([before, *succeeded]))


def next_task(
    tasks: Sequence[TaskState], busy: frozenset[int] = frozenset(), *, alpha: float, window: int
) -> int | None:
    """Index of the task to tune next, or None where no task is left that is not ``busy``.

    First every task once, the one with most operations first; then the one with the greatest
    promise: ``alpha`` of what its last ``window`` rounds saved per round, the rest of what it would
    save if its time kept falling as one over the rounds (Ansor's gradient, without similarity).
    """
    free = [n for n, task in enumerate(tasks) if not task.exhausted and n not in busy]
    untouched = [n for n in free if not tasks[n].history_s]
    if untouched:
        return max(untouched, key=lambda n: tasks[n].weight * tasks[n].flops)
    return max(free, key=lambda n: _promise_s(tasks[n], alpha, window), default=None)


def estimate_s(tasks: Sequence[TaskState]) -> tuple[float, int]:
    """Seconds per inference in the tasks that have a success, and how many have none yet."""
    known = [task.weight * task.best_s for task in tasks if task.best_s is not None]
    return math.fsum(known), len(tasks) - len(known)


def share_of_operations(tasks: Sequence[TaskState]) -> float:
    """Share of the floating-point operations that lies in tasks with a success, 0 to 1."""
    total = math.fsum(task.weight * task.flops for task in tasks)
    tuned = math.fsum(task.weight * task.flops for task in tasks if task.best_s is not None)
    return tuned / total if total else 0.0


def _promise_s(task: TaskState, alpha: float, window: int) -> float:
    rounds = len(task.history_s)
    if task.best_s is None:
        return math.inf if rounds < _MAX_BARREN_ROUNDS else -math.inf
    earlier = task.history_s[max(0, rounds - 1 - window)]
    saved = earlier - task.best_s
    backward = saved / window if math.isfinite(saved) else task.best_s
    forward = task.best_s / rounds
    return task.weight * (alpha * backward + (1 - alpha) * forward)
