"""What a tuning will cost, told first: its tasks, and the time from a few real trials."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from edgepose.engines.tvm.process import Event, ignore
from edgepose.tuning.session import DEFAULT_TRIALS, search
from edgepose.tuning.settings import SearchSettings
from edgepose.tuning.subject import entries_of, find_subject

_PROBE_ROUNDS = 3


class TaskCost(msgspec.Struct, frozen=True, kw_only=True):
    """One task: the net runs it ``weight`` times; ``share`` of all operations are in it."""

    name: str
    weight: int
    flops: float
    share: float


@dataclass(frozen=True)
class Cost:
    """``seconds`` is what ``trials`` will take at ``trial_s`` each, beside the start."""

    tasks: tuple[TaskCost, ...]
    devices: tuple[str, ...]
    trials: int
    probed: int
    trial_s: float
    seconds: float


def probe(
    model: str,
    target: str = "host",
    devices: Sequence[str] = ("local",),
    *,
    trials: int = DEFAULT_TRIALS,
    tasks: Sequence[str] = (),
    proxy: bool = False,
    settings: SearchSettings | None = None,
    on_event: Callable[[Event], None] = ignore,
) -> Cost:
    """Measure a few rounds on ``devices`` into a database that is thrown away.

    Raises as ``tune`` does.
    """
    entries = entries_of(devices, target, proxy)
    subject = find_subject(model, target, proxy)
    settings = settings or SearchSettings()
    clock: list[tuple[float, int]] = []

    def watch(event: Event) -> None:
        clock.append((time.monotonic(), event.get("trials", 0)))
        on_event(event)

    with TemporaryDirectory(prefix="edgepose-probe-") as folder:
        seen = search(
            subject,
            entries,
            Path(folder),
            trials=min(trials, _PROBE_ROUNDS * settings.round_size),
            time_s=None,
            tasks=tasks,
            settings=settings,
            on_event=watch,
        )
    listed = next(event["tasks"] for event in seen if event["event"] == "tasks")
    rounds = [
        moment for moment, event in zip(clock, seen, strict=True) if event["event"] == "round"
    ]
    (started_s, _), *_ = clock
    start_s, trial_s = _line_through(started_s, rounds)
    return Cost(
        tasks=_shares(listed),
        devices=tuple(devices),
        trials=trials,
        probed=rounds[-1][1],
        trial_s=trial_s,
        seconds=start_s + trials * trial_s,
    )


def _line_through(started_s: float, rounds: Sequence[tuple[float, int]]) -> tuple[float, float]:
    """Seconds before the first trial, and per trial: the first round pays for the start."""
    first, last = rounds[0], rounds[-1]
    if last[1] == first[1]:
        return 0.0, (first[0] - started_s) / max(1, first[1])
    trial_s = (last[0] - first[0]) / (last[1] - first[1])
    return max(0.0, first[0] - started_s - first[1] * trial_s), trial_s


def _shares(listed: Sequence[Event]) -> tuple[TaskCost, ...]:
    total = sum(task["weight"] * task["flops"] for task in listed) or 1.0
    costs = [
        TaskCost(
            name=task["name"],
            weight=task["weight"],
            flops=task["flops"],
            share=task["weight"] * task["flops"] / total,
        )
        for task in listed
    ]
    return tuple(sorted(costs, key=lambda cost: cost.share, reverse=True))
