"""Several bundles timed in interleaved blocks on one device: what came of it, as data.

Schema versions of a line of comparisons.jsonl: 1, the first.
"""

from statistics import median
from typing import Any, Final

import msgspec

from edgepose.bench.paired import Outcome, PairedRatio, Ranking
from edgepose.bench.plan import Effort
from edgepose.bench.record import RunSamples, Verdict
from edgepose.bench.statistics import Summary, summarise
from edgepose.engines.base import Tuning
from edgepose.prove.proof import Proof

SCHEMA_VERSION: Final = 1
MIN_BLOCKS = 3  # with two, the t-interval is twelve standard errors wide on either side


class Contestant(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle, proven on the device; ``toolchain`` are the versions that made it.

    ``tuning`` is None for an engine that does not tune. ``computed_in`` is the precision that the
    runtime there says, None where it does not.
    """

    model: str
    recipe: str
    engine: str
    precision: str
    bundle_id: str
    toolchain: dict[str, str]
    runtime_versions: dict[str, str]
    proof: Proof
    tuning: Tuning | None = None
    computed_in: str | None = None


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A fresh process of every contestant, begun in this ``order`` of their indices.

    ``runs`` are in the contestants' own order. The block counts where there are no ``reasons``.
    """

    attempt: int
    order: tuple[int, ...]
    runs: tuple[RunSamples, ...]
    reasons: tuple[str, ...]
    notes: tuple[str, ...]


class Contest(msgspec.Struct, frozen=True, kw_only=True):
    """All blocks, those that do not count included, and whether the whole counts.

    The orders follow from ``contest_id`` and a block's attempt. Where ``emulated``, neither a time
    nor a ratio in it says anything about a device.
    """

    contest_id: str
    created_at: str
    edgepose_version: str
    git_commit: str | None
    target: str
    device: str
    transport: str
    emulated: bool
    threads: int
    cpus: tuple[int, ...]
    effort: Effort
    facts_before: dict[str, Any]
    facts_after: dict[str, Any]
    contestants: tuple[Contestant, ...]
    blocks: tuple[Block, ...]
    verdict: Verdict

    def medians_ns(self) -> list[list[float]]:
        """The median of every block that counts, per contestant."""
        counted = [block for block in self.blocks if not block.reasons]
        return [
            [median(block.runs[index].samples_ns) for block in counted]
            for index in range(len(self.contestants))
        ]

    def summaries(self) -> list[Summary | None]:
        """Each contestant's latency by itself; the ratios are more precise than these."""
        counted = [block for block in self.blocks if not block.reasons]
        if not counted:
            return [None] * len(self.contestants)
        return [
            summarise([block.runs[index].samples_ns for block in counted])
            for index in range(len(self.contestants))
        ]


class Comparison(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="compare"):
    """The second bundle against the first: ``ratio`` is its latency over the first's.

    Both are None where the contest was refused.
    """

    schema_version: int = SCHEMA_VERSION
    contest: Contest
    ratio: PairedRatio | None
    outcome: Outcome | None


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe that took no part, and why."""

    recipe: str
    reason: str


class Race(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="race"):
    """``winner`` is None where the ``tied`` cannot be told apart, or the contest was refused.

    ``recipe`` is what a build takes: the winner, or else the tied one that comes first among the
    recipes of the target, which lists the safest first. It is None where the contest was refused.
    """

    schema_version: int = SCHEMA_VERSION
    model: str
    contest: Contest
    left_out: tuple[LeftOut, ...]
    ranking: Ranking | None
    winner: str | None
    tied: tuple[str, ...]
    recipe: str | None
