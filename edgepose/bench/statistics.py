"""From raw latencies to a summary with an honest interval. Pure; no sample is ever removed."""

import math
from collections.abc import Sequence
from functools import cache
from statistics import fmean, stdev
from typing import Literal

import msgspec

CiMethod = Literal["t over process medians", "order statistics within one process"]

# MLPerf LoadGen's early stopping at 99 % confidence: the fewest samples that support a percentile.
SAMPLES_FOR_P90 = 44
SAMPLES_FOR_P95 = 90
SAMPLES_FOR_P99 = 459

_NS_PER_MS = 1e6


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The latency of one record, in milliseconds; ``n`` samples from ``processes`` processes.

    The interval has 95 % confidence. With two processes or more ``median_ms`` is the mean of the
    process medians and the interval a t-interval over these, because samples within a process are
    autocorrelated. With one process it is the sample median with the interval of its order
    statistics, which is too narrow where samples are autocorrelated, and None below 6 samples.
    ``mean_ms``, ``std_ms``, ``min_ms``, ``max_ms`` and the percentiles are those of all samples
    together; a percentile is None where n is too small to support it.
    """

    median_ms: float
    ci_low_ms: float | None
    ci_high_ms: float | None
    ci_method: CiMethod | None
    half_width_ms: float | None
    mean_ms: float
    std_ms: float | None
    min_ms: float
    max_ms: float
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    n: int
    processes: int


def summarise(samples_ns_per_process: Sequence[Sequence[int]]) -> Summary:
    """Summarise raw latencies (ns), one sequence per process, in any order.

    Raises ValueError where there is no process, or one without a sample.
    """
    if not samples_ns_per_process or not all(samples_ns_per_process):
        raise ValueError("each process must have at least one sample")
    ordered = sorted(ns for samples in samples_ns_per_process for ns in samples)
    medians = [quantile(sorted(samples), 0.5) for samples in samples_ns_per_process]
    n, processes = len(ordered), len(medians)
    median = fmean(medians)
    interval: tuple[float, float] | None
    method: CiMethod
    if processes > 1:
        interval, method = t_interval(medians), "t over process medians"
    else:
        interval, method = median_interval(ordered), "order statistics within one process"

    def percentile(fraction: float, needed: int) -> float | None:
        return quantile(ordered, fraction) / _NS_PER_MS if n >= needed else None

    return Summary(
        median_ms=median / _NS_PER_MS,
        ci_low_ms=interval[0] / _NS_PER_MS if interval else None,
        ci_high_ms=interval[1] / _NS_PER_MS if interval else None,
        ci_method=method if interval else None,
        half_width_ms=(interval[1] - interval[0]) / 2 / _NS_PER_MS if interval else None,
        mean_ms=fmean(ordered) / _NS_PER_MS,
        std_ms=stdev(ordered) / _NS_PER_MS if n > 1 else None,
        min_ms=ordered[0] / _NS_PER_MS,
        max_ms=ordered[-1] / _NS_PER_MS,
        p90_ms=percentile(0.90, SAMPLES_FOR_P90),
        p95_ms=percentile(0.95, SAMPLES_FOR_P95),
        p99_ms=percentile(0.99, SAMPLES_FOR_P99),
        n=n,
        processes=processes,
    )


def quantile(ordered: Sequence[float], fraction: float) -> float:
    """The ``fraction`` (0..1) quantile of sorted values, linear between order statistics."""
    position = fraction * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def t_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """t-interval of the mean of two values or more."""
    half = t_quantile(len(values) - 1, confidence) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


@cache
def t_quantile(degrees: int, confidence: float = 0.95) -> float:
    """The t with P(|T| <= t) = ``confidence`` for Student's T with ``degrees`` of freedom."""
    low, high = 0.0, 1.0
    while _t_within(high, degrees) < confidence:
        high *= 2
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _t_within(middle, degrees) < confidence else (low, middle)
    return high


def _t_within(t: float, degrees: int) -> float:
    """P(|T| <= t), by the finite series for whole degrees of freedom."""
    angle = math.atan(t / math.sqrt(degrees))
    odd = degrees % 2
    term = math.cos(angle) if odd else 1.0
    total = term if degrees > 1 else 0.0
    for power in range(2 + odd, degrees - 1, 2):
        term *= math.cos(angle) ** 2 * (power - 1) / power
        total += term
    if odd:
        return 2 / math.pi * (angle + math.sin(angle) * total)
    return math.sin(angle) * total


def median_interval(ordered: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of the median from sorted values; None where there are fewer than 6."""
    rank = _lower_rank(len(ordered))
    return (ordered[rank - 1], ordered[-rank]) if rank else None


def _lower_rank(n: int) -> int:
    """The highest rank r (from 1) with P(Binomial(n, 1/2) < r) <= 2.5 %; 0 where there is none."""
    limit, below, ways = 2**n // 40, 0, 1  # ways = C(n, r); whole numbers, hence exact
    for rank in range(n + 1):
        if below + ways > limit:
            return rank
        below += ways
        ways = ways * (n - rank) // (rank + 1)
    return 0
