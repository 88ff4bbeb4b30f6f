"""How much to measure: the named profiles, and what of them fits a time budget. Pure."""

import math
from collections.abc import Iterator
from typing import Literal

import msgspec

from edgepose.bench.statistics import SAMPLES_FOR_P99

ProfileName = Literal["paper", "trust", "p99", "compare"]


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """``processes`` fresh processes, each ``warmup_min`` to ``warmup_max`` inferences until
    converged (equal: no convergence test), then ``runs`` timed ones.
    """

    name: ProfileName
    processes: int
    warmup_min: int
    warmup_max: int
    runs: int


PAPER = Profile(name="paper", processes=1, warmup_min=50, warmup_max=50, runs=200)
TRUST = Profile(name="trust", processes=5, warmup_min=50, warmup_max=300, runs=200)
# 1000 samples are more than twice the 459 that a p99 needs. Today's trust has as many; this one
# promises them, and says so where a budget takes them away.
P99 = Profile(name="p99", processes=5, warmup_min=50, warmup_max=300, runs=200)
PROFILES: dict[str, Profile] = {profile.name: profile for profile in (PAPER, TRUST, P99)}
# Of each bundle in a comparison; its processes are the blocks. The paired interval is made of block
# medians, so that many small blocks serve better than few large ones.
COMPARE = Profile(name="compare", processes=10, warmup_min=50, warmup_max=300, runs=50)
DEFAULT_BUDGET_S = 300.0


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """What one cell really spends; ``note`` says what it falls short of, or is empty."""

    processes: int
    warmup_min: int
    warmup_max: int
    runs: int
    note: str = ""

    def longest_s(self, latency_ms: float, startup_s: float) -> float:
        """Seconds it takes if no warm-up converges; ``startup_s`` is per process."""
        inferences = self.warmup_max + self.runs
        return self.processes * (startup_s + inferences * latency_ms / 1e3)


# (processes, warmup_min, warmup_max, runs), each entry at most its predecessor's: so more time
# never buys less. The convergence test goes first, then samples; processes go last, because the
# interval is made of them.
_LADDER = (
    (5, 50, 300, 200),
    (5, 50, 150, 200),
    (5, 50, 50, 200),
    (5, 50, 50, 100),
    (5, 50, 50, 50),
    (5, 20, 20, 50),
    (5, 20, 20, 30),
    (5, 10, 10, 20),
    (5, 5, 5, 10),
    (3, 5, 5, 10),
    (3, 2, 2, 5),
    (3, 1, 1, 3),
    (2, 1, 1, 2),
    (1, 1, 1, 1),
)


def fit_to_budget(profile: Profile, latency_ms: float, startup_s: float, budget_s: float) -> Effort:
    """The largest effort, at most ``profile``, that ends within ``budget_s`` seconds.

    ``latency_ms`` is an estimate of one inference, ``startup_s`` of starting a process and loading
    the artifact. The smallest effort (one sample after one warm-up) is returned, with a note, even
    where it does not fit.
    """
    if not (0 < latency_ms < math.inf and 0 <= startup_s < math.inf):
        raise ValueError(f"not a time: {latency_ms=}, {startup_s=}")
    rungs = list(_rungs(profile))
    fitting = (rung for rung in rungs if rung.longest_s(latency_ms, startup_s) <= budget_s)
    effort = next(fitting, rungs[-1])
    note = _note(profile, effort, effort.longest_s(latency_ms, startup_s), budget_s)
    return msgspec.structs.replace(effort, note=note)


def _rungs(profile: Profile) -> Iterator[Effort]:
    """The ladder below ``profile``, largest first, starting with the profile itself."""
    yield Effort(
        processes=profile.processes,
        warmup_min=profile.warmup_min,
        warmup_max=profile.warmup_max,
        runs=profile.runs,
    )
    for processes, warmup_min, warmup_max, runs in _LADDER:
        yield Effort(
            processes=min(processes, profile.processes),
            warmup_min=min(warmup_min, profile.warmup_min),
            warmup_max=min(warmup_max, profile.warmup_max),
            runs=min(runs, profile.runs),
        )


def _note(profile: Profile, effort: Effort, longest_s: float, budget_s: float) -> str:
    """Sentences on what ``effort`` falls short of; empty where it is all of ``profile``."""
    parts = []
    if _spent(effort) != _spent(profile):
        parts.append(
            f"the budget of {budget_s:g} s allows {_text(effort)}, "
            f"where profile {profile.name} has {_text(profile)}"
        )
    if longest_s > budget_s:
        parts.append("even this exceeds the budget")
    if effort.processes * effort.runs < PAPER.runs or effort.warmup_min < PAPER.warmup_min:
        parts.append(f"fewer than the papers' {_text(PAPER)}")
    if profile.name == "p99" and effort.processes * effort.runs < SAMPLES_FOR_P99:
        parts.append(f"no p99: it needs {SAMPLES_FOR_P99} samples")
    return "; ".join(parts)


def _spent(effort: Effort | Profile) -> tuple[int, int, int, int]:
    return effort.processes, effort.warmup_min, effort.warmup_max, effort.runs


def _text(effort: Effort | Profile) -> str:
    """As ``5 × (50..300 + 200)``: processes, warm-up, timed runs."""
    warmup = f"{effort.warmup_min}"
    if effort.warmup_max > effort.warmup_min:
        warmup += f"..{effort.warmup_max}"
    return f"{effort.processes} × ({warmup} + {effort.runs})"
