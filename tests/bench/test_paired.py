import math
from statistics import fmean

import numpy as np
import pytest
from scipy import stats

from edgepose.bench.paired import paired_ratio, rank

BLOCKS = 10


def drifting(generator: np.random.Generator, truths: list[float]) -> list[list[float]]:
    """Block medians of several nets: the board drifts by 5 %, each median by 1 % of its own."""
    common = 1 + 0.05 * np.cumsum(generator.standard_normal(BLOCKS)) / math.sqrt(BLOCKS)
    own = np.exp(0.01 * generator.standard_normal((len(truths), BLOCKS)))
    return [(truth * common * noise).tolist() for truth, noise in zip(truths, own, strict=True)]


def test_the_ratio_and_its_interval_are_those_of_scipys_paired_t_test() -> None:
    generator = np.random.default_rng(1)
    first, second = drifting(generator, [20.0, 20.4])
    found = paired_ratio(first, second)
    test = stats.ttest_rel(np.log(second), np.log(first))
    expected = test.confidence_interval(0.95)
    assert found.low == pytest.approx(math.exp(expected.low))
    assert found.high == pytest.approx(math.exp(expected.high))
    assert found.ratio == pytest.approx(stats.gmean(np.divide(second, first)))
    assert (found.outcome == "cannot tell") == (test.pvalue > 0.05)
    assert found.blocks == BLOCKS


def test_the_second_is_called_slower_where_it_takes_longer_and_faster_the_other_way() -> None:
    short, long = [1.0, 1.1, 0.9, 1.0], [2.0, 2.2, 1.9, 2.1]
    assert paired_ratio(short, long).outcome == "slower"
    assert paired_ratio(long, short).outcome == "faster"
    assert paired_ratio(long, short).ratio == pytest.approx(1 / paired_ratio(short, long).ratio)
    assert paired_ratio(short, short).outcome == "cannot tell"


def test_drift_that_moves_both_alike_does_not_widen_the_interval() -> None:
    first, second = [10.0, 20.0, 40.0, 15.0], [10.1, 20.2, 40.4, 15.15]
    found = paired_ratio(first, second)
    assert found.low == pytest.approx(1.01)
    assert found.high == pytest.approx(1.01)


def test_one_block_gives_no_interval() -> None:
    with pytest.raises(ValueError, match="two blocks"):
        paired_ratio([1.0], [2.0])


def test_the_interval_covers_the_true_ratio_in_95_percent_under_drift() -> None:
    generator = np.random.default_rng(20261121)
    found = [paired_ratio(*drifting(generator, [20.0, 20.4])) for _ in range(2000)]
    assert 0.94 < fmean(each.low <= 1.02 <= each.high for each in found) < 0.96


def test_identical_nets_are_called_different_in_5_percent_whatever_the_drift() -> None:
    generator = np.random.default_rng(20261122)
    found = [paired_ratio(*drifting(generator, [20.0, 20.0])) for _ in range(2000)]
    assert 0.04 < fmean(each.outcome != "cannot tell" for each in found) < 0.06


def test_the_smallest_effect_is_seen_four_times_out_of_five() -> None:
    spread = 0.01
    generator = np.random.default_rng(20261123)
    template = generator.standard_normal(BLOCKS)
    exact = np.exp(spread * template / template.std(ddof=1))
    effect = paired_ratio([1.0] * BLOCKS, exact.tolist()).smallest_effect
    draws = np.exp(spread * generator.standard_normal((2000, BLOCKS))) * (1 + effect)
    seen = [paired_ratio([1.0] * BLOCKS, row).outcome == "slower" for row in draws.tolist()]
    assert 0.77 < fmean(seen) < 0.83


def test_a_ranking_names_the_best_and_those_that_cannot_be_told_from_it() -> None:
    generator = np.random.default_rng(5)
    ranking = rank(drifting(generator, [30.0, 20.0, 20.0, 25.0]))
    assert ranking.best in (1, 2)
    assert ranking.tied == (1, 2)
    assert ranking.against_best[ranking.best] is None
    ratios = [ratio for ratio in ranking.against_best if ratio]
    assert all(ratio.confidence == pytest.approx(1 - 0.05 / 3) for ratio in ratios)
    assert max(ratio.ratio for ratio in ratios) == pytest.approx(1.5, rel=0.05)


def test_one_alone_is_the_best() -> None:
    ranking = rank([[3.0, 2.0, 4.0]])
    assert (ranking.best, ranking.tied, ranking.against_best) == (0, (0,), (None,))


@pytest.mark.parametrize("truths", [[20.0, 20.0], [20.0] * 4, [20.0, 20.0, 40.0, 40.0]])
def test_of_equal_nets_a_sole_winner_is_named_in_at_most_5_percent(truths: list[float]) -> None:
    generator = np.random.default_rng(20261124)
    sole = [len(rank(drifting(generator, truths)).tied) == 1 for _ in range(4000)]
    assert fmean(sole) < 0.06


def test_the_truly_fastest_of_four_is_among_the_tied_in_95_percent() -> None:
    """Differences of the size of the noise: here the data often choose a wrong best."""
    generator = np.random.default_rng(20261125)
    found = [rank(drifting(generator, [20.0, 20.05, 20.1, 20.15])) for _ in range(1000)]
    assert fmean(ranking.best == 0 for ranking in found) < 0.9
    assert fmean(0 in ranking.tied for ranking in found) >= 0.95
