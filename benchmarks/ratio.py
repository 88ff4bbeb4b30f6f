"""Paired ratios: two ways to time one thing, taken in turns, so that drift cancels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from edgepose.bench.statistics import t_interval


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """Geometric mean of ``pairs`` ratios, its 95 % t-interval; ``limit``: the most it may be off 1.

    ``first_ms`` and ``second_ms`` are the medians of the blocks that were compared.
    """

    what: str
    model: str
    ratio: float
    low: float
    high: float
    limit: float
    pairs: int
    first_ms: float
    second_ms: float

    @property
    def verdict(self) -> str:
        """The interval is within the limit, beyond it, or too wide to tell."""
        least, most = 1 - self.limit, 1 + self.limit
        if least <= self.low and self.high <= most:
            return "holds"
        return "BROKEN" if self.high < least or self.low > most else "cannot tell"


def paired_ratio(
    what: str, model: str, first: Sequence[float], second: Sequence[float], limit: float
) -> Ratio:
    """``first`` over ``second``, block by block, both in ns."""
    logs = [math.log(a / b) for a, b in zip(first, second, strict=True)]
    low, high = t_interval(logs)
    return Ratio(
        what=what,
        model=model,
        ratio=math.exp((low + high) / 2),
        low=math.exp(low),
        high=math.exp(high),
        limit=limit,
        pairs=len(logs),
        first_ms=median(first) / 1e6,
        second_ms=median(second) / 1e6,
    )
