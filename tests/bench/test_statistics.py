import math
import random
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgepose.bench.statistics import median_interval, quantile, summarise, t_interval, t_quantile

latencies = st.lists(st.integers(1, 10**12), min_size=1, max_size=60)


def test_the_headline_of_several_processes_is_the_mean_of_their_medians() -> None:
    summary = summarise([[10_000_000, 11_000_000, 90_000_000], [13_000_000] * 3])
    assert summary.median_ms == 12.0
    assert summary.ci_method == "t over process medians"
    assert (summary.n, summary.processes) == (6, 2)


def test_the_interval_of_several_processes_is_the_t_interval_of_their_medians() -> None:
    medians = [20.0, 20.4, 19.9, 20.1, 20.3]
    summary = summarise([[int(ms * 1e6)] * 7 for ms in medians])
    low, high = stats.t.interval(0.95, 4, loc=fmean(medians), scale=stats.sem(medians))
    assert summary.ci_low_ms == pytest.approx(low)
    assert summary.ci_high_ms == pytest.approx(high)
    assert summary.half_width_ms == pytest.approx((high - low) / 2)


def test_one_process_of_200_has_the_interval_of_ranks_86_to_115() -> None:
    summary = summarise([[rank * 1_000_000 for rank in range(1, 201)]])
    assert (summary.ci_low_ms, summary.ci_high_ms) == (86.0, 115.0)
    assert summary.median_ms == 100.5
    assert summary.ci_method == "order statistics within one process"


@pytest.mark.parametrize("n", [6, 7, 8, 10, 31, 200, 459, 1000])
def test_the_ranks_are_the_narrowest_that_hold_95_percent(n: int) -> None:
    interval = median_interval(range(1, n + 1))
    assert interval is not None
    low = int(interval[0])
    assert interval[1] == n + 1 - low
    assert stats.binom.cdf(low - 1, n, 0.5) <= 0.025 < stats.binom.cdf(low, n, 0.5)


def test_five_samples_of_one_process_are_too_few_for_an_interval() -> None:
    summary = summarise([[1, 2, 3, 4, 5]])
    assert summary.ci_low_ms is summary.ci_high_ms is summary.half_width_ms is None
    assert summary.ci_method is None
    assert summarise([[1, 2, 3, 4, 5, 6]]).ci_low_ms == 1e-6


def test_one_sample_alone_has_a_median_and_no_spread() -> None:
    summary = summarise([[7_000_000]])
    assert (summary.median_ms, summary.std_ms, summary.half_width_ms) == (7.0, None, None)


@pytest.mark.parametrize(
    ("n", "p90", "p95", "p99"),
    [
        (43, False, False, False),
        (44, True, False, False),
        (89, True, False, False),
        (90, True, True, False),
        (458, True, True, False),
        (459, True, True, True),
    ],
)
def test_a_percentile_needs_its_number_of_samples(n: int, p90: bool, p95: bool, p99: bool) -> None:
    summary = summarise([list(range(1, n + 1))])
    shown = (summary.p90_ms, summary.p95_ms, summary.p99_ms)
    assert tuple(value is not None for value in shown) == (p90, p95, p99)


def test_samples_of_all_processes_together_support_a_percentile() -> None:
    assert summarise([list(range(1, 101))] * 5).p99_ms is not None


@given(latencies, st.floats(0, 1))
def test_quantiles_are_those_of_numpy(values: list[int], fraction: float) -> None:
    assert quantile(sorted(values), fraction) == pytest.approx(
        float(np.quantile(values, fraction)), rel=1e-9
    )


@given(st.lists(latencies, min_size=1, max_size=5))
def test_no_sample_is_removed(processes: list[list[int]]) -> None:
    summary = summarise(processes)
    everything = [ns / 1e6 for samples in processes for ns in samples]
    assert summary.n == len(everything)
    assert summary.max_ms == max(everything)
    assert summary.min_ms == min(everything)
    assert summary.mean_ms == pytest.approx(fmean(everything))
    if summary.std_ms is not None:
        assert summary.std_ms == pytest.approx(float(np.std(everything, ddof=1)), abs=1e-6)


@given(latencies, st.randoms())
def test_the_order_of_samples_does_not_matter(values: list[int], shuffler: random.Random) -> None:
    shuffled = list(values)
    shuffler.shuffle(shuffled)
    assert summarise([shuffled]) == summarise([values])


@pytest.mark.parametrize("samples", [[], [[]], [[1], []]])
def test_a_process_without_samples_is_an_error(samples: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        summarise(samples)


@pytest.mark.parametrize("degrees", [1, 2, 4, 9, 10, 11, 12, 30, 99, 1000])
def test_the_t_quantile_is_that_of_scipy(degrees: int) -> None:
    assert t_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), abs=2e-4)


def test_the_t_interval_over_process_medians_covers_95_percent() -> None:
    """Processes differ by 2 % and samples within one are autocorrelated."""
    generator = np.random.default_rng(20261121)
    draws, processes, runs, truth = 2000, 5, 40, 20e6
    noise = generator.standard_normal((draws, processes, runs))
    for position in range(1, runs):  # lag-1 autocorrelation of 0.6
        noise[..., position] = 0.6 * noise[..., position - 1] + 0.8 * noise[..., position]
    levels = truth * (1 + 0.02 * generator.standard_normal((draws, processes, 1)))
    samples = (levels + 0.01 * truth * noise).astype(np.int64)
    medians = np.median(samples, axis=2)
    covered = [low <= truth <= high for low, high in map(t_interval, medians.tolist())]
    assert 0.93 < fmean(covered) < 0.97


def test_the_interval_of_order_statistics_covers_95_percent_of_independent_samples() -> None:
    generator = np.random.default_rng(20261122)
    samples = np.sort(generator.lognormal(0, 0.2, (2000, 200)), axis=1)
    intervals = [median_interval(row) for row in samples.tolist()]
    covered = [interval[0] <= 1 <= interval[1] for interval in intervals if interval]
    assert len(covered) == 2000
    assert 0.94 < fmean(covered) < 0.98  # ranks are whole: 96.0 % at 200 samples


def test_two_processes_give_an_honest_wide_interval() -> None:
    summary = summarise([[20_000_000] * 6, [21_000_000] * 6])
    assert summary.half_width_ms == pytest.approx(12.706 * 0.7071 / math.sqrt(2), rel=1e-3)
