"""What a decoder returns. All positions are in pixels of the net's input."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Keypoints:
    """One person: ``points`` float64 [K, 2] (x, y) and ``scores`` [K], the raw peak values.

    A point without a peak (score ≤ 0) has negative coordinates.
    """

    points: NDArray[np.float64]
    scores: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Boxes:
    """Detections, best first: ``boxes`` [N, 4] xyxy, ``scores`` [N] 0..1, ``classes`` [N]."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
