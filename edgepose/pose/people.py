"""What the run-time pipeline speaks of: one human in one picture."""

import msgspec
import numpy as np
from numpy.typing import NDArray


class Person(msgspec.Struct, frozen=True, eq=False):
    """One human in one picture; all positions in pixels of the image.

    ``points`` [K, 2] (x, y) and their ``scores`` [K]: at or below 0 the point was not found and
    says nothing. ``box`` is xyxy, ``score`` that of the person as a whole, as COCO results carry
    it. ``id`` comes from the tracker, from 1 on.
    """

    points: NDArray[np.float64]
    scores: NDArray[np.float32]
    box: NDArray[np.float64]
    score: float
    id: int | None = None
