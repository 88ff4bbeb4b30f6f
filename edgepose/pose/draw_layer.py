"""A layer of strokes: their colours and how opaque they are, to be mixed into a picture."""

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]
Color: TypeAlias = tuple[int, int, int]  # blue, green, red

_SHIFT = 4  # OpenCV's sub-pixel bits
_UNIT = 1 << _SHIFT


class Layer:
    """Colour and opacity of a part of the picture whose corner is at ``origin``.

    All of it has the colour ``ground`` at first: strokes without ``colors`` only make that seen.
    """

    def __init__(self, shape: tuple[int, ...], ground: Color, origin: tuple[int, int]) -> None:
        self._color: Image = np.full(shape, ground, np.uint8)
        self._opacity: Image = np.zeros(shape[:2], np.uint8)
        self._origin = np.array(origin, np.float64)

    def _fixed(self, places: NDArray[np.float64]) -> NDArray[np.int32]:
        return np.rint((places - self._origin) * _UNIT).astype(np.int32)

    def bars(
        self,
        start: NDArray[np.float64],
        end: NDArray[np.float64],
        widths: NDArray[np.float64],
        opacity: NDArray[np.float64],
        colors: Sequence[Color] = (),
    ) -> None:
        """Bars [N] whose ``widths`` may be fractions of a pixel."""
        along = end - start
        lengths = np.maximum(np.hypot(*along.T), 1e-6)
        aside = along[:, ::-1] * [-1, 1] * (widths / 2 / lengths)[:, None]
        corners = self._fixed(np.stack([start + aside, end + aside, end - aside, start - aside], 1))
        for bar, color in zip(corners, colors, strict=False):
            cv2.fillConvexPoly(self._color, bar, color, cv2.LINE_AA, _SHIFT)
        for bar, value in zip(corners, np.rint(255 * opacity).tolist(), strict=True):
            cv2.fillConvexPoly(self._opacity, bar, value, cv2.LINE_AA, _SHIFT)

    def dots(
        self,
        places: NDArray[np.float64],
        radii: NDArray[np.float64],
        opacity: NDArray[np.float64],
        colors: Sequence[Color] = (),
    ) -> None:
        centers = self._fixed(places).tolist()
        sizes = np.maximum(1, np.rint(radii * _UNIT)).astype(int).tolist()
        for center, size, color in zip(centers, sizes, colors, strict=False):
            cv2.circle(self._color, center, size, color, -1, cv2.LINE_AA, _SHIFT)
        values = np.rint(255 * opacity).tolist()
        for center, size, value in zip(centers, sizes, values, strict=True):
            cv2.circle(self._opacity, center, size, value, -1, cv2.LINE_AA, _SHIFT)

    def box(self, box: NDArray[np.float64], width: float, color: Color) -> None:
        corners = box[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2)
        others = np.roll(corners, -1, axis=0)
        self.bars(corners, others, np.full(4, width), np.full(4, 0.5), [color] * 4)

    def onto(self, area: Image) -> None:
        """Mix into the part of the picture that the layer is for."""
        blend(area, self._color, self._opacity)


def blend(area: Image, color: Image, opacity: Image) -> None:
    """Mix ``color`` [h, w, 3] into ``area``, a part of a picture, by ``opacity`` [h, w] of 255."""
    weight = opacity.astype(np.float32) * np.float32(1 / 255)
    area[:] = cv2.blendLinear(color, area, weight, 1 - weight)
