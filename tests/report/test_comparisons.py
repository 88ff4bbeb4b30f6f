from typing import Any

import msgspec
import pytest

from edgepose.bench.contest import Comparison, LeftOut, Race
from edgepose.bench.paired import paired_ratio, rank
from edgepose.bench.record import Verdict
from edgepose.engines.base import Tuning
from edgepose.report.comparisons import render_comparison, render_race
from tests.bench.contests import block, contest

A = (20.0, 20.2, 19.9, 20.1)
SLOWER = (30.0, 30.2, 30.0, 30.1)
REFUSED = Verdict(valid=False, reasons=("too few blocks: 0 of 4 blocks count", "foreign load: 50%"))


def comparison(second: tuple[float, ...] = SLOWER, **changes: Any) -> Comparison:
    held = contest({"onnxruntime-fp32": A, "ncnn-fp32": second}, **changes)
    ratio = paired_ratio(A, second) if held.verdict.valid else None
    return Comparison(contest=held, ratio=ratio, outcome=ratio.outcome if ratio else None)


def race(*others: tuple[float, ...], **changes: Any) -> Race:
    names = ("onnxruntime-fp32", "ncnn-fp32", "ncnn-fp16")
    held = contest(dict(zip(names, (A, *others), strict=False)), **changes)
    ranking = rank((A, *others)) if held.verdict.valid else None
    tied = tuple(names[index] for index in ranking.tied) if ranking else ()
    return Race(
        model="tiny",
        contest=held,
        left_out=(LeftOut(recipe="ncnn-fp16-storage", reason="no compiler"),),
        ranking=ranking,
        winner=tied[0] if len(tied) == 1 else None,
        tied=tied,
        recipe=tied[0] if tied else None,
    )


def test_a_comparison_says_who_is_slower_by_how_much_and_how_sure() -> None:
    lines = render_comparison(comparison()).splitlines()
    assert lines[2].split()[:5] == [
        "A",
        "tiny",
        "onnxruntime-fp32",
        "id-of-onnxruntime-fp32",
        "20.05",
    ]
    assert lines[-3] == "local (host), 1 thread, 4 interleaved blocks of 50 runs each"
    assert lines[-2].startswith("B is slower than A: B takes 1.5")
    assert lines[-2].endswith("] times as long as A (95 % interval)")
    assert "four times out of five" in lines[-1]


def test_a_comparison_that_cannot_tell_says_which_difference_it_could_have_seen() -> None:
    *_, verdict, reach = render_comparison(comparison((20.1, 20.0, 20.0, 20.1))).splitlines()
    assert verdict.startswith("cannot tell A from B: B takes 1.0")
    assert reach.startswith("a difference of 1.") and "%" in reach


def test_a_race_puts_the_fastest_first_and_names_it() -> None:
    found = race(SLOWER, tuple(each * 0.9 for each in A))
    text = render_race(found)
    rows = [line.split() for line in text.splitlines()[2:6]]
    assert [row[0] for row in rows] == [
        *("ncnn-fp16", "onnxruntime-fp32", "ncnn-fp32", "ncnn-fp16-storage")
    ]
    assert [row[-1] for row in rows] == ["winner", "slower", "slower", "out"]
    assert "left out: ncnn-fp16-storage: no compiler" in text
    assert "winner: ncnn-fp16; onnxruntime-fp32 takes 1.11" in text
    assert "(simultaneous 95 % interval)" in text
    assert text.endswith("`edgepose build … --recipe auto` takes ncnn-fp16")


def test_a_race_that_cannot_tell_names_the_tied_and_what_a_build_takes() -> None:
    text = render_race(race((20.1, 20.0, 20.0, 20.1)))
    assert "\ncannot tell: onnxruntime-fp32, ncnn-fp32\n" in text
    assert text.endswith("takes onnxruntime-fp32, which the target lists first")


def test_one_alone_wins_without_a_ratio() -> None:
    assert "winner: onnxruntime-fp32, the only one" in render_race(race())


def test_an_artifact_that_was_not_tuned_on_the_board_says_so_beside_its_recipe() -> None:
    held = comparison().contest
    tuning = Tuning(
        tuned="no",
        tuner="MetaSchedule",
        tvm_version="1",
        trials=None,
        records_sha256=None,
        tasks=3,
        tuned_tasks=0,
        tuned_share=0.0,
    )
    untuned = msgspec.structs.replace(held.contestants[0], tuning=tuning)
    held = msgspec.structs.replace(held, contestants=(untuned, held.contestants[1]))
    text = render_comparison(msgspec.structs.replace(comparison(), contest=held))
    assert "onnxruntime-fp32 (untuned)" in text and "ncnn-fp32 (untuned)" not in text


def test_a_refused_contest_says_so_and_names_nobody() -> None:
    for text in (
        render_comparison(comparison(verdict=REFUSED)),
        render_race(race(SLOWER, verdict=REFUSED)),
    ):
        assert text.endswith("REFUSED: too few blocks: 0 of 4 blocks count; foreign load: 50%")
        assert "winner" not in text and "slower" not in text
    assert "REFUSED: too few blocks, foreign load" in text.splitlines()[2]


def test_no_time_and_no_ratio_of_an_emulated_device_shows() -> None:
    why = Verdict(valid=False, reasons=("emulated: times taken there say nothing about a device",))
    for text in (
        render_comparison(comparison(emulated=True, verdict=why)),
        render_race(race(SLOWER, emulated=True, verdict=why)),
    ):
        assert "emulated" in text and "REFUSED" in text
        assert not any(figure in text for figure in ("20.", "30.", "1.5"))


def test_disturbed_blocks_count_neither_for_the_medians_nor_for_the_number_of_blocks() -> None:
    held = comparison().contest
    disturbed = block(9, (900.0, 900.0), reasons=("foreign load: 50%",))
    held = msgspec.structs.replace(held, blocks=(*held.blocks, disturbed))
    assert held.medians_ns()[0] == [each * 1e6 for each in A]
    text = render_comparison(msgspec.structs.replace(comparison(), contest=held))
    assert "20.05" in text and "4 interleaved blocks" in text


@pytest.mark.parametrize("latency_ms", [0.0165, 12_000.0])
def test_microseconds_and_seconds_keep_their_digits(latency_ms: float) -> None:
    times = tuple(latency_ms * each / 20 for each in A)
    held = contest({"onnxruntime-fp32": times, "ncnn-fp32": times})
    text = render_comparison(
        Comparison(contest=held, ratio=paired_ratio(times, times), outcome="cannot tell")
    )
    assert f"{latency_ms:g}"[:3] in text
    assert "B takes 1.0000 [1.0000, 1.0000] times" in text or "1.00 [1.00, 1.00]" in text
