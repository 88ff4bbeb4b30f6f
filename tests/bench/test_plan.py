import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepose.bench.plan import P99, PAPER, PROFILES, TRUST, Effort, Profile, fit_to_budget
from edgepose.bench.statistics import SAMPLES_FOR_P99

profiles = st.sampled_from(list(PROFILES.values()))
latencies_ms = st.floats(1e-3, 1e5)
startups_s = st.floats(0, 100)
budgets_s = st.floats(0, 3600)


def _spent(effort: Effort | Profile) -> tuple[int, ...]:
    return effort.processes, effort.warmup_min, effort.warmup_max, effort.runs


def test_a_fast_net_gets_the_whole_profile_and_no_note() -> None:
    for profile in PROFILES.values():
        effort = fit_to_budget(profile, latency_ms=20, startup_s=2, budget_s=300)
        assert _spent(effort) == _spent(profile)
        assert effort.note == ""


def test_the_paper_profile_is_the_papers_protocol() -> None:
    assert _spent(PAPER) == (1, 50, 50, 200)


def test_the_p99_profile_has_samples_enough_for_a_p99() -> None:
    assert P99.processes * P99.runs >= SAMPLES_FOR_P99


def test_a_net_of_12_seconds_still_gets_several_processes_within_five_minutes() -> None:
    effort = fit_to_budget(TRUST, latency_ms=12_000, startup_s=3, budget_s=300)
    assert effort.processes >= 3
    assert effort.runs >= 5
    assert effort.longest_s(12_000, 3) <= 300
    assert "the budget of 300 s allows 3 × (2 + 5)" in effort.note
    assert "profile trust has 5 × (50..300 + 200)" in effort.note
    assert "fewer than the papers' 1 × (50 + 200)" in effort.note


def test_a_shorter_warm_up_alone_is_noted_but_is_not_fewer_than_the_papers() -> None:
    effort = fit_to_budget(TRUST, latency_ms=150, startup_s=1, budget_s=300)
    assert _spent(effort) == (5, 50, 150, 200)
    assert "the budget of 300 s" in effort.note
    assert "papers" not in effort.note


def test_a_budget_that_takes_the_p99_away_says_so() -> None:
    assert "no p99: it needs 459 samples" in fit_to_budget(P99, 500, 1, 300).note
    assert "p99" not in fit_to_budget(TRUST, 500, 1, 300).note


def test_a_budget_too_small_for_anything_gives_one_sample_and_says_so() -> None:
    effort = fit_to_budget(TRUST, latency_ms=60_000, startup_s=30, budget_s=10)
    assert _spent(effort) == (1, 1, 1, 1)
    assert "even this exceeds the budget" in effort.note


@pytest.mark.parametrize("latency", [0, -1, math.nan, math.inf])
def test_an_impossible_latency_is_an_error(latency: float) -> None:
    with pytest.raises(ValueError, match="not a time"):
        fit_to_budget(TRUST, latency, 1, 300)


@given(profiles, latencies_ms, startups_s, budgets_s)
def test_an_effort_fits_the_budget_or_says_that_it_does_not(
    profile: Profile, latency_ms: float, startup_s: float, budget_s: float
) -> None:
    effort = fit_to_budget(profile, latency_ms, startup_s, budget_s)
    fits = effort.longest_s(latency_ms, startup_s) <= budget_s
    assert fits == ("exceeds the budget" not in effort.note)
    assert all(spent <= most for spent, most in zip(_spent(effort), _spent(profile), strict=True))
    assert min(_spent(effort)) >= 1
    assert effort.warmup_min <= effort.warmup_max
    assert (effort.note == "") == (_spent(effort) == _spent(profile) and fits)


@given(profiles, latencies_ms, startups_s, budgets_s, st.floats(1, 10))
def test_more_time_or_a_faster_net_never_gets_less(
    profile: Profile, latency_ms: float, startup_s: float, budget_s: float, factor: float
) -> None:
    effort = _spent(fit_to_budget(profile, latency_ms, startup_s, budget_s))
    longer = _spent(fit_to_budget(profile, latency_ms, startup_s, budget_s * factor))
    faster = _spent(fit_to_budget(profile, latency_ms / factor, startup_s, budget_s))
    assert all(more >= less for more, less in zip(longer, effort, strict=True))
    assert all(more >= less for more, less in zip(faster, effort, strict=True))
