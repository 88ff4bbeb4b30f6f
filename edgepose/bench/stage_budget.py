"""What each stage of the pipeline costs on a device: raw times, and their figures. Pure."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Final, Literal, NamedTuple

import msgspec

from edgepose.bench.statistics import t_interval
from edgepose.pose.stages import STAGES
from edgepose.prove.proof import Proof

SCHEMA_VERSION: Final = 1
FRAME, OTHER = "frame", "other"
Way = Literal["python", "native"]
_MIN_CPU_FRACTION = 0.85  # as in a record: below it, other work had the core


class StageSamples(msgspec.Struct, frozen=True, kw_only=True):
    """One fresh process: ``ns`` of every frame by stage, and ``people`` found in each frame.

    ``frame`` among the stages is all of a frame, which only the pipeline itself can tell.
    """

    ns: dict[str, tuple[int, ...]]
    people: tuple[int, ...]
    wall_ns: int
    cpu_ns: int


class Timed(NamedTuple):
    """What came home: samples, and what ran where on which picture (or golden case)."""

    processes: tuple[StageSamples, ...]
    cpus: tuple[int, ...]
    versions: dict[str, str]
    picture: str
    picture_sha256: str


class StageFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Means per frame, for they add up where medians do not. The interval (95 %) is Student's t
    over the means of the processes, None with one process; ``share`` is of the total.
    """

    stage: str
    mean_ms: float
    ci_low_ms: float | None
    ci_high_ms: float | None
    share: float


class StageBudget(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle's stages on a device, proven there. Where ``emulated``, no time is that of a device.

    ``way``: ``python`` is the whole pipeline; ``native`` is network and decoding of the first
    golden input by the C++ runner, all that a device without the pipeline's Python can time.
    ``picture`` is the image's name (python) or the golden case's (native), with its hash.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    created_at: str
    edgepose_version: str
    model: str
    target: str
    recipe: str
    engine: str
    bundle_id: str
    detector: str | None
    detector_bundle_id: str | None
    device: str
    emulated: bool
    way: Way
    threads: int
    cpus: tuple[int, ...]
    detect_every: int
    picture: str
    picture_sha256: str
    runtime_versions: dict[str, str]
    proof: Proof
    detector_proof: Proof | None
    processes: tuple[StageSamples, ...]
    stages: tuple[StageFigures, ...]
    total: StageFigures
    notes: tuple[str, ...]

    @property
    def people(self) -> float:
        """Found per frame, on average."""
        return fmean(count for one in self.processes for count in one.people)


def stage_figures(
    processes: Sequence[StageSamples],
) -> tuple[tuple[StageFigures, ...], StageFigures]:
    """The figures of every stage that was timed, in the order of a frame, and their total.

    What a frame takes beside its stages is ``other``.
    """
    means = [{stage: fmean(ns) / 1e6 for stage, ns in one.ns.items()} for one in processes]
    totals = [one.pop(FRAME, sum(one.values())) for one in means]
    if FRAME in processes[0].ns:
        for one, total in zip(means, totals, strict=True):
            one[OTHER] = max(0.0, total - sum(one.values()))
    whole = fmean(totals)
    order = [stage for stage in (*STAGES, OTHER) if stage in means[0]]
    figures = (_figures(stage, [one[stage] for one in means], whole) for stage in order)
    return tuple(figures), _figures("total", totals, whole)


def added(all_of: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, tuple[int, ...]]:
    """Times by stage of several nets that work one after the other on each frame."""
    stages = {stage for ns in all_of for stage in ns}
    return {
        stage: tuple(map(sum, zip(*(ns[stage] for ns in all_of if stage in ns), strict=True)))
        for stage in stages
    }


def not_timed(figures: Sequence[StageFigures], detector: bool) -> list[str]:
    """Stages of the pipeline that the figures say nothing of."""
    wanted = [stage for stage in STAGES if detector or stage != "detector"]
    return [stage for stage in wanted if stage not in {one.stage for one in figures}]


def notes_on(processes: Sequence[StageSamples], untrained: Sequence[str] = ()) -> tuple[str, ...]:
    """What speaks against trusting the figures; ``untrained`` are nets whose weights are."""
    notes = [
        f"{name} is not trained: it finds people in noise, and what they cost to decode and follow "
        "says nothing about a trained net"
        for name in untrained
    ]
    worst = min(one.cpu_ns / one.wall_ns for one in processes)
    if worst < _MIN_CPU_FRACTION:
        notes.append(
            f"foreign load: a process had its core for {worst:.0%} of the time only; "
            "stop other work and measure again"
        )
    if not any(count for one in processes for count in one.people):
        notes.append("nobody was found in the picture: decoding and tracking had nothing to do")
    return tuple(notes)


def _figures(stage: str, means_ms: Sequence[float], whole_ms: float) -> StageFigures:
    low, high = t_interval(means_ms) if len(means_ms) > 1 else (None, None)
    mean = fmean(means_ms)
    return StageFigures(
        stage=stage,
        mean_ms=mean,
        ci_low_ms=low,
        ci_high_ms=high,
        share=mean / whole_ms if whole_ms else 0.0,
    )
