"""Which blocks count, and what that makes of a contest."""

from typing import Any

import msgspec
import pytest

from edgepose.bench.block_validity import judge_block, judge_contest
from edgepose.bench.contest import Block
from edgepose.bench.record import Verdict
from tests.bench.contests import EFFORT, block
from tests.bench.records import FACTS, proof, reading, run


def judged(*runs: Any, **facts: Any) -> Verdict:
    runs = runs or (run(0), run(1))
    around = {"start": FACTS, "before": FACTS, "after": FACTS, **facts}
    proofs, cpus = [proof()] * len(runs), [()] * len(runs)
    return judge_block(runs, proofs=proofs, cpus=cpus, effort=EFFORT, **around)


def blocks(good: int, bad: int) -> list[Block]:
    disturbed = block(99, (20.0, 20.0), reasons=("foreign load: 50%",))
    return [block(index, (20.0, 20.0)) for index in range(good)] + [disturbed] * bad


def test_an_undisturbed_block_counts() -> None:
    assert judged().valid


def test_a_block_whose_second_process_shared_its_core_does_not_count() -> None:
    shared = msgspec.structs.replace(run(1), cpu_ns=run(1).wall_ns // 2)
    (reason,) = judged(run(0), shared).reasons
    assert reason.startswith("foreign load:")


def test_contestants_may_reach_different_clocks_and_none_may_lose_its_own() -> None:
    slow_clock = run(1, sensors=(reading(0, 1000.0), reading(1000, 1000.0)))
    assert judged(run(0), slow_clock).valid
    falling = run(1, sensors=(reading(0, 1500.0), reading(1000, 1000.0)))
    (reason,) = judged(run(0), falling).reasons
    assert reason.startswith("throttled: the clock fell")


def test_a_knob_that_changed_in_an_earlier_block_speaks_against_every_later_one() -> None:
    changed = {**FACTS, "governor": "powersave"}
    (reason,) = judged(before=changed, after=changed).reasons
    assert reason == "knob changed: governor went from 'performance' to 'powersave'"


def test_a_sticky_throttle_bit_speaks_against_the_block_in_which_it_rose_only() -> None:
    risen = {**FACTS, "throttled": "0x40000"}
    calm = [run(index, sensors=()) for index in range(2)]
    (reason,) = judged(*calm, after=risen).reasons
    assert reason == "throttled: the firmware set the bits 0x40000"
    assert judged(*calm, before=risen, after=risen).valid


@pytest.mark.parametrize("good", [0, 2])
def test_fewer_than_three_blocks_refuse_the_contest_with_each_kind_of_reason_once(
    good: int,
) -> None:
    verdict = judge_contest(blocks(good, 4), EFFORT, emulated=False)
    assert verdict.reasons == (
        f"too few blocks: {good} of {good + 4} blocks count, 3 are needed",
        "foreign load: 50%",
    )


def test_repeated_and_missing_blocks_are_noted() -> None:
    assert judge_contest(blocks(5, 0), EFFORT, emulated=False) == Verdict(valid=True)
    assert judge_contest(blocks(3, 2), EFFORT, emulated=False).notes == (
        "repeated: 3 of 5 blocks count; the others: foreign load",
        "fewer blocks than wanted: 3, not 5",
    )


def test_an_emulated_device_gives_no_verdict() -> None:
    (reason,) = judge_contest(blocks(5, 0), EFFORT, emulated=True).reasons
    assert reason.startswith("emulated:")
