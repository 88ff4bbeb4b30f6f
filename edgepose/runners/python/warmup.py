"""Has the warm-up reached its steady state? Python 3.6-safe, standard library only.

Runs on the device inside the runner, between warm-up and timed samples.
"""

from typing import Sequence

HALF = 20


def has_converged(latencies_ns: Sequence[float]) -> bool:
    """Compare the last 20 latencies with the 20 before them (any unit, oldest first).

    False while fewer than 40 are known. True where the first of the 40 is no outlier (at most
    Q3 + 1.5 IQR of the other 39), the mean of the earlier half lies -50 %..+10 % from that of the
    later one, both quartiles agree within 5 % and the median absolute deviations within 10 %.
    """
    window = list(latencies_ns)[-2 * HALF :]
    if len(window) < 2 * HALF:
        return False
    early, late = window[:HALF], window[HALF:]
    first, others = window[0], window[1:]
    low, high = quantile(others, 0.25), quantile(others, 0.75)
    return (
        first <= high + 1.5 * (high - low)
        and -0.5 <= _change(_mean(early), _mean(late)) <= 0.1
        and abs(_change(quantile(early, 0.25), quantile(late, 0.25))) <= 0.05
        and abs(_change(quantile(early, 0.75), quantile(late, 0.75))) <= 0.05
        and abs(_change(_deviation(early), _deviation(late))) <= 0.1
    )


def quantile(values: Sequence[float], fraction: float) -> float:
    """The ``fraction`` (0..1) quantile, linear between the two nearest order statistics."""
    ordered = sorted(values)
    position = fraction * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / float(len(values))


def _deviation(values: Sequence[float]) -> float:
    """Median absolute deviation from the median."""
    middle = quantile(values, 0.5)
    return quantile([abs(value - middle) for value in values], 0.5)


def _change(early: float, late: float) -> float:
    """(early - late) / late; 0 where both are 0."""
    if early == late:
        return 0.0
    return (early - late) / float(late) if late else float("inf")
