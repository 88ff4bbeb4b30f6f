"""Paired comparison of latencies that were taken block by block. Pure.

What drifts from block to block (heat, other load) moves all of a block's latencies alike, and so
cancels in their ratio. The ratios' logarithms get a t-interval over the blocks.
"""

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Literal

import msgspec

from edgepose.bench.statistics import t_interval, t_quantile

Outcome = Literal["faster", "slower", "cannot tell"]

POWER = 0.8


class PairedRatio(msgspec.Struct, frozen=True, kw_only=True):
    """``ratio`` is the second's latency over the first's, its interval has ``confidence``.

    ``smallest_effect`` is the smallest difference (0.01 is 1 %) that so many blocks of this spread
    would have told from none, in four of five repetitions.
    """

    ratio: float
    low: float
    high: float
    confidence: float
    blocks: int
    smallest_effect: float

    @property
    def outcome(self) -> Outcome:
        """Whether the second is faster or slower than the first."""
        if self.high < 1:
            return "faster"
        return "slower" if self.low > 1 else "cannot tell"


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """``against_best`` is each one's ratio to the ``best``, None for the best itself.

    ``tied`` are the best and those that cannot be told from it, in the order given.
    """

    best: int
    against_best: tuple[PairedRatio | None, ...]
    tied: tuple[int, ...]


def paired_ratio(
    first: Sequence[float], second: Sequence[float], confidence: float = 0.95
) -> PairedRatio:
    """Compare latencies of the same blocks. Raises ValueError below two blocks."""
    if len(first) < 2:
        raise ValueError("an interval needs two blocks or more")
    logs = [math.log(b / a) for a, b in zip(first, second, strict=True)]
    low, high = t_interval(logs, confidence)
    degrees = len(logs) - 1
    reach = t_quantile(degrees, confidence) + t_quantile(degrees, 2 * POWER - 1)
    return PairedRatio(
        ratio=math.exp(fmean(logs)),
        low=math.exp(low),
        high=math.exp(high),
        confidence=confidence,
        blocks=len(logs),
        smallest_effect=math.expm1(reach * stdev(logs) / math.sqrt(len(logs))),
    )


def rank(latencies: Sequence[Sequence[float]]) -> Ranking:
    """Find the fastest of several, each with one latency per block.

    The k - 1 comparisons with the best one share the 5 % between them (Bonferroni). So the truly
    fastest is among the tied in at least 95 % of rankings, although the data itself chose the best:
    to lose its place it must be beaten by one of the k - 1 others, whichever that is.
    Raises ValueError below two blocks.
    """
    logs = [fmean(map(math.log, each)) for each in latencies]
    best = logs.index(min(logs))
    confidence = 1 - 0.05 / max(1, len(latencies) - 1)
    against = tuple(
        None if index == best else paired_ratio(latencies[best], each, confidence)
        for index, each in enumerate(latencies)
    )
    tied = [index for index, ratio in enumerate(against) if not ratio or ratio.low <= 1]
    return Ranking(best=best, against_best=against, tied=tuple(tied))
