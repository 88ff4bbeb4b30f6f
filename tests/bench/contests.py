"""Contests for tests, alike but for what a test says, and what a real one under load may be."""

from collections.abc import Sequence
from typing import Any

import msgspec

from edgepose.bench.contest import Block, Contest, Contestant
from edgepose.bench.paired import PairedRatio, paired_ratio
from edgepose.bench.plan import Effort
from edgepose.bench.record import Verdict
from tests.bench.records import FACTS, proof, run

EFFORT = Effort(processes=5, warmup_min=50, warmup_max=300, runs=50)


def contest(latencies_ms: dict[str, Sequence[float]], **changes: Any) -> Contest:
    """A contest of recipes, each with one latency per block."""
    return Contest(
        **{
            "contest_id": "c1",
            "created_at": "2026-11-21T10:01:00+00:00",
            "edgepose_version": "0.1.0",
            "git_commit": None,
            "target": "host",
            "device": "local",
            "transport": "local",
            "emulated": False,
            "threads": 1,
            "cpus": (1,),
            "effort": EFFORT,
            "facts_before": FACTS,
            "facts_after": FACTS,
            "contestants": tuple(contestant(recipe) for recipe in latencies_ms),
            "blocks": tuple(
                block(attempt, row)
                for attempt, row in enumerate(zip(*latencies_ms.values(), strict=True))
            ),
            "verdict": Verdict(valid=True),
            **changes,
        }
    )


def contestant(recipe: str, **changes: Any) -> Contestant:
    engine, precision = recipe.split("-")[:2]
    return Contestant(
        **{
            "model": "tiny",
            "recipe": recipe,
            "engine": engine,
            "precision": precision,
            "bundle_id": f"id-of-{recipe}",
            "toolchain": {engine: "1.0"},
            "runtime_versions": {engine: "1.0"},
            "proof": proof(),
            **changes,
        }
    )


def block(attempt: int, latencies_ms: Sequence[float], reasons: tuple[str, ...] = ()) -> Block:
    runs = tuple(
        msgspec.structs.replace(run(attempt), samples_ns=(int(each * 1e6),) * 3)
        for each in latencies_ms
    )
    order = tuple(range(len(latencies_ms)))
    return Block(attempt=attempt, order=order, runs=runs, reasons=reasons, notes=())


def assert_valid_but_for_load(found: Contest) -> None:
    """Other work on this machine may disturb a test's blocks; nothing else speaks against them."""
    kinds = {reason.partition(":")[0] for reason in found.verdict.reasons}
    assert kinds <= {"too few blocks", "foreign load"}
    assert found.verdict.valid == (not kinds)


def ratio_of_all_blocks(found: Contest) -> PairedRatio:
    """Disturbed blocks included: a real factor of two shows all the same."""
    blocks = tuple(msgspec.structs.replace(block, reasons=()) for block in found.blocks)
    return paired_ratio(*msgspec.structs.replace(found, blocks=blocks).medians_ns())
