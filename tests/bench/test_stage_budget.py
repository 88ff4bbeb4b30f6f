"""Figures of the pipeline's stages, from raw times."""

import pytest

from edgepose.bench.stage_budget import (
    StageSamples,
    added,
    not_timed,
    notes_on,
    stage_figures,
)


def process(
    cpu_ns: int = 100, people: tuple[int, ...] = (1, 1), **ns: tuple[int, ...]
) -> StageSamples:
    return StageSamples(ns=ns, people=people, wall_ns=100, cpu_ns=cpu_ns)


FIRST = process(
    network=(3_000_000, 5_000_000), decode=(1_000_000, 1_000_000), frame=(5_000_000, 7_000_000)
)
SECOND = process(
    network=(6_000_000, 6_000_000), decode=(1_000_000, 1_000_000), frame=(8_000_000, 8_000_000)
)


def test_stages_and_what_lies_between_them_add_up_to_the_whole_frame() -> None:
    stages, total = stage_figures([FIRST, SECOND])
    assert [one.stage for one in stages] == ["network", "decode", "other"]
    assert [one.mean_ms for one in stages] == [5.0, 1.0, 1.0]
    assert total.mean_ms == 7.0
    assert sum(one.share for one in stages) == pytest.approx(1.0)
    assert total.share == 1.0


def test_the_interval_is_over_the_means_of_the_processes() -> None:
    (network, decode, _), _ = stage_figures([FIRST, SECOND])
    # Student's t with one degree of freedom, 12.706, times |6 - 4| / 2.
    assert network.ci_low_ms == pytest.approx(5.0 - 12.706, abs=1e-3)
    assert network.ci_high_ms == pytest.approx(5.0 + 12.706, abs=1e-3)
    assert (decode.ci_low_ms, decode.ci_high_ms) == (1.0, 1.0)


def test_one_process_has_no_interval() -> None:
    (network, *_), total = stage_figures([FIRST])
    assert network.ci_low_ms is None and total.ci_high_ms is None


def test_without_whole_frames_the_total_is_the_sum_of_what_was_timed() -> None:
    stages, total = stage_figures([process(network=(3_000_000,), decode=(1_000_000,))])
    assert [one.stage for one in stages] == ["network", "decode"]
    assert total.mean_ms == 4.0


def test_the_times_of_two_nets_add_up_frame_by_frame() -> None:
    together = added(
        [{"detector": (5, 6), "decode": (1, 1)}, {"network": (7, 8), "decode": (2, 3)}]
    )
    assert together == {"detector": (5, 6), "network": (7, 8), "decode": (3, 4)}


def test_stages_that_nothing_is_known_of_are_told() -> None:
    stages, _ = stage_figures([process(network=(3,), decode=(1,))])
    assert not_timed(stages, detector=False) == ["preprocess", "track"]
    assert not_timed(stages, detector=True) == ["preprocess", "detector", "track"]


def test_other_work_and_an_empty_picture_are_noted() -> None:
    assert not notes_on([FIRST, SECOND])
    (note,) = notes_on([FIRST, process(cpu_ns=60, network=(1,))])
    assert "60% of the time" in note
    (note,) = notes_on([process(people=(0, 0), network=(1,))])
    assert note.startswith("nobody was found")


def test_the_people_of_an_untrained_net_are_noted_as_noise() -> None:
    (note,) = notes_on([FIRST], untrained=["litepose-xs"])
    assert note.startswith("litepose-xs is not trained")
