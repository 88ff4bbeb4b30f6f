"""Two bundles against each other on this machine: real runs, nothing replaced."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from edgepose import compare
from edgepose.bench.contest import Comparison, Contest, Race
from edgepose.bundle import Bundle
from edgepose.errors import ProofError, UsageError
from tests.bench.chains import build_chain
from tests.bench.contests import assert_valid_but_for_load, ratio_of_all_blocks
from tests.bench.under_way import ROOT, pending, result_of, runs, samples_in, wait_for
from tests.tiny_bundles import build_tiny, with_false_golden_outputs

pytestmark = pytest.mark.usefixtures("workplace")
BUDGET_S = 12.0


@pytest.fixture(scope="module")
def short(own_places: None, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return build_chain(tmp_path_factory.mktemp("chain") / "short", 4)


def stored() -> list[Comparison | Race]:
    path = Path("records/comparisons.jsonl")
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [msgspec.json.decode(line, type=Comparison | Race) for line in lines]


def test_identical_bundles_have_a_ratio_of_one_within_an_honest_interval(short: Bundle) -> None:
    found = compare(short, short, budget_s=BUDGET_S)
    contest = found.contest
    assert_valid_but_for_load(contest)
    assert stored() == [found]
    ratio = ratio_of_all_blocks(contest)
    assert 0.6 < ratio.ratio < 1.6
    assert (
        ratio.low < 1.1 and ratio.high > 0.9
    )  # a false alarm in 20 is honest, and then a near miss
    assert [one.recipe for one in contest.contestants] == ["onnxruntime-fp32"] * 2
    assert all(one.proof.passed and one.proof.where == "local" for one in contest.contestants)
    assert_every_block_is_a_fresh_process_of_each(contest)
    assert not list(runs().iterdir())
    assert not pending()


def assert_every_block_is_a_fresh_process_of_each(contest: Contest) -> None:
    assert len(contest.blocks) >= 3
    names = [run.run_id for block in contest.blocks for run in block.runs]
    assert len(set(names)) == len(names)
    assert {name.rpartition("-b")[0] for name in names} == {contest.contest_id}
    for block in contest.blocks:
        first, second = (block.runs[index] for index in block.order)
        assert first.started_at <= second.started_at
        assert [len(run.samples_ns) for run in block.runs] == [contest.effort.runs] * 2
        assert all(len(run.warmup_ns) >= contest.effort.warmup_min for run in block.runs)
        assert sorted(block.order) == [0, 1]


def test_a_net_twice_as_deep_is_slower(short: Bundle, tmp_path: Path) -> None:
    deep = build_chain(tmp_path / "deep", 8)
    found = compare(short, deep, budget_s=BUDGET_S)
    assert_valid_but_for_load(found.contest)
    if found.contest.verdict.valid:
        assert found.outcome == "slower"
    assert 1.3 < ratio_of_all_blocks(found.contest).ratio < 3


def test_under_foreign_load_blocks_are_repeated_and_then_the_comparison_is_refused(
    slow: Bundle,
) -> None:
    with busy_core():
        found = compare(slow, slow, budget_s=16)  # beside other programs, a start takes seconds
    reasons = " ".join(found.contest.verdict.reasons)
    assert "too few blocks: 0 of" in reasons and "foreign load" in reasons
    assert (found.ratio, found.outcome) == (None, None)
    assert all(block.reasons for block in found.contest.blocks)
    assert stored() == [found]


@contextmanager
def busy_core() -> Iterator[None]:
    """Two programs that compute on the core that runs are pinned to."""
    core = max(os.sched_getaffinity(0))
    code = f"import os\nos.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    programs = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def test_an_unproven_bundle_is_refused_and_nothing_is_timed(tiny: Bundle, tmp_path: Path) -> None:
    false = with_false_golden_outputs(tiny, tmp_path / "false")
    with pytest.raises(ProofError, match="not proven on local: output 'heatmaps': max relative"):
        compare(tiny, false)
    assert not stored()
    assert not list(runs().iterdir())
    assert not pending()


def test_nets_of_other_inputs_are_different_models(short: Bundle, tmp_path: Path) -> None:
    wide = build_chain(tmp_path / "wide", 4, width=32)
    with pytest.raises(
        UsageError, match=r"different models: .*\[1, 3, 24, 24\].*24, 32\]"
    ) as found:
        compare(short, wide)
    assert "edgepose bench" in found.value.hint


def test_a_bundle_for_another_target_is_refused(tiny: Bundle, tmp_path: Path) -> None:
    other = build_tiny(tmp_path / "pi", target="rpi4")
    with pytest.raises(UsageError, match="not built for device 'local'"):
        compare(tiny, other)


def test_a_budget_that_gives_no_interval_is_refused_and_told_how_much_does(slow: Bundle) -> None:
    with pytest.raises(UsageError, match="3 blocks, the least that give an interval") as caught:
        compare(slow, slow, budget_s=0.5)
    assert "--budget" in caught.value.hint
    assert not pending()
    assert not list(runs().iterdir())


@contextmanager
def comparing_elsewhere(bundle: Bundle) -> Iterator["subprocess.Popen[bytes]"]:
    """``compare(bundle, bundle)`` in a process of its own, a first block of it under way."""
    code = (
        "import sys, edgepose\n"
        "bundle = edgepose.load_bundle(sys.argv[1])\n"
        "edgepose.compare(bundle, bundle, budget_s=12)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", code, str(bundle.folder)]
    with subprocess.Popen(words, env=environment) as command:
        wait_for(lambda: result_of("b1-0") or result_of("b1-1"), 60)
        yield command


def test_an_interrupted_comparison_leaves_nothing_on_the_device(slow: Bundle) -> None:
    with comparing_elsewhere(slow) as command:
        command.send_signal(signal.SIGINT)
    assert command.returncode != 0
    assert not list(runs().iterdir())
    assert not pending()
    assert not stored()


def test_the_same_command_goes_on_after_a_kill_and_leaves_nothing_either(
    slow: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with comparing_elsewhere(slow) as command:
        command.kill()
    (first,) = runs().glob("*-b0-0")
    session = first.name.removesuffix("-b0-0")
    os.link(first / "result.jsonl", tmp_path / "first")
    with caplog.at_level("INFO", "edgepose"):
        found = compare(slow, slow, budget_s=12)
    assert f"re-attaching to session {session}" in caplog.text
    assert found.contest.contest_id == session
    # The link still shows what the process wrote: it was not started a second time.
    assert samples_in(tmp_path / "first") == found.contest.blocks[0].runs[0].samples_ns
    assert stored() == [found]
    assert not list(runs().iterdir())
    assert not pending()
