"""Smoothing of key points over time: steady where they rest, without lag where they move."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgepose.pose.result import Floats


@dataclass(frozen=True)
class OneEuroSettings:
    """Of the 1 € filter (Casiez et al., CHI 2012): a low pass whose cut-off rises with the speed.

    ``min_cutoff`` and ``speed_cutoff`` in 1 / unit of time, ``beta`` is the gain of the speed: each
    coordinate's own, or with ``joint_speed`` that of the point [..., 2] which it belongs to, as
    mmdeploy's tracker has it. The defaults are mmpose's (0.29) for coordinates in pixels and one
    frame as the unit.
    """

    min_cutoff: float = 0.004
    beta: float = 0.7
    speed_cutoff: float = 1.0
    joint_speed: bool = False


class OneEuro:
    """The filter on any number of coordinates at once; the first value passes as it is."""

    def __init__(self, settings: OneEuroSettings = OneEuroSettings()) -> None:
        self._settings = settings
        self._value: NDArray[np.float64] | None = None
        self._speed: NDArray[np.float64] = np.zeros(0)

    def __call__(self, value: Floats, elapsed: float = 1.0) -> NDArray[np.float64]:
        """The filtered ``value``, which keeps its shape; ``elapsed`` > 0 since the one before."""
        new = np.asarray(value, np.float64)
        if self._value is None:
            self._value, self._speed = new, np.zeros_like(new)
        else:
            moved = new - self._value
            self._value, self._speed = one_euro_step(
                new, moved, self._speed, np.array(elapsed), self._settings
            )
        return self._value


def one_euro_step(
    new: NDArray[np.float64],
    moved: NDArray[np.float64],
    speed: NDArray[np.float64],
    elapsed: NDArray[np.float64],
    settings: OneEuroSettings,
    size: NDArray[np.float64] | float = 1.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The filtered value and speed. ``new`` has ``moved`` so far from the last filtered value.

    ``elapsed`` > 0 and ``size``, the length that speeds are measured in, broadcast to the value.
    """
    part = _part(settings.speed_cutoff, elapsed)
    speed = speed + part * (moved / elapsed - speed)
    pace = np.hypot(speed[..., :1], speed[..., 1:]) if settings.joint_speed else np.abs(speed)
    follow = _part(settings.min_cutoff + settings.beta * (pace / size), elapsed)
    return new - (1 - follow) * moved, speed


def _part(cutoff: NDArray[np.float64] | float, elapsed: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of a new value counts."""
    turns = cutoff * (2 * math.pi * elapsed)
    part: NDArray[np.float64] = turns / (turns + 1)
    return part
