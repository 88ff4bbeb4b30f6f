"""Smoothing of key points over time: steady where they rest, without lag where they move."""

import math

import numpy as np
from numpy.typing import NDArray

from edgepose.pose.result import Floats


class OneEuro:
    """The 1 € filter (Casiez et al., CHI 2012): a low pass whose cut-off rises with the speed.

    Works on any number of coordinates at once, each for itself. ``min_cutoff`` and
    ``speed_cutoff`` in 1 / unit of time, ``beta`` is the gain of the speed. The first value passes
    as it is. The defaults are mmpose's (0.29) for coordinates in pixels and one frame as the unit.
    """

    def __init__(
        self, min_cutoff: float = 0.004, beta: float = 0.7, speed_cutoff: float = 1.0
    ) -> None:
        self._min_cutoff, self._beta, self._speed_cutoff = min_cutoff, beta, speed_cutoff
        self._value: NDArray[np.float64] | None = None
        self._speed: NDArray[np.float64] = np.zeros(0)

    def __call__(self, value: Floats, elapsed: float = 1.0) -> NDArray[np.float64]:
        """The filtered ``value``, which keeps its shape; ``elapsed`` > 0 since the one before."""
        new = np.asarray(value, np.float64)
        if self._value is None:
            self._value, self._speed = new, np.zeros_like(new)
            return new
        part = _part(np.array(self._speed_cutoff), elapsed)
        self._speed = part * (new - self._value) / elapsed + (1 - part) * self._speed
        follow = _part(self._min_cutoff + self._beta * np.abs(self._speed), elapsed)
        self._value = follow * new + (1 - follow) * self._value
        return self._value


def _part(cutoff: NDArray[np.float64], elapsed: float) -> NDArray[np.float64]:
    """How much of a new value counts."""
    turns = 2 * math.pi * cutoff * elapsed
    part: NDArray[np.float64] = turns / (turns + 1)
    return part
