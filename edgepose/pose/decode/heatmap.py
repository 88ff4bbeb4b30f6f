"""Heatmaps: each key point is the peak of its own map."""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edgepose.pose.result import Floats, Keypoints


def decode_heatmaps(
    heatmaps: Floats,
    stride: tuple[float, float],
    refine: Literal["none", "quarter", "dark"] = "quarter",
    blur_kernel: int = 11,
) -> Keypoints:
    """Heatmaps [1, K, h, w] to key points; cell i lies at input pixel i·``stride`` (x, y).

    ``refine``: ``quarter`` = a quarter cell towards the higher neighbour (mmpose's MSRA codec);
    ``dark`` = Taylor step on the logarithm of the map after a Gaussian of ``blur_kernel`` cells
    (Zhang et al., CVPR 2020). Score = the raw peak; score ≤ 0 means no point: cell (-1, -1).
    """
    maps = heatmaps[0].astype(np.float32)
    count, _, width = maps.shape
    flat = maps.reshape(count, -1)
    y, x = np.divmod(flat.argmax(-1), width)
    scores = flat.max(-1)
    cells = np.stack([x, y], axis=-1).astype(np.float64)
    if refine == "quarter":
        cells += _quarter_step(maps, x, y)
    elif refine == "dark":
        cells += _dark_step(maps, x, y, blur_kernel)
    cells[scores <= 0] = -1
    return Keypoints(cells * stride, scores)


def _quarter_step(
    maps: NDArray[np.float32], x: NDArray[np.int64], y: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Steps [K, 2] of 0 or ±0.25 cells. mmpose leaves two cells at the low edge, one at the high.

    An axis is stepped only where the other coordinate is not 0 either; that is the reference's.
    """
    count, height, width = maps.shape
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)))  # cell (y, x) is now (y + 1, x + 1)
    k = np.arange(count)
    dx = padded[k, y + 1, x + 2] - padded[k, y + 1, x]
    dy = padded[k, y + 2, x + 1] - padded[k, y, x + 1]
    inside_x = (x > 1) & (x < width - 1) & (y > 0)
    inside_y = (y > 1) & (y < height - 1) & (x > 0)
    return 0.25 * np.stack([np.sign(dx) * inside_x, np.sign(dy) * inside_y], axis=-1)


def _dark_step(
    maps: NDArray[np.float32], x: NDArray[np.int64], y: NDArray[np.int64], kernel: int
) -> NDArray[np.float64]:
    """Newton steps [K, 2] in cells from the peak of the map to the peak of its Gaussian.

    Zero within two cells of the edge, and where the step is longer than a cell: no Gaussian there.
    """
    count, height, width = maps.shape
    k = np.arange(count)
    border = cv2.BORDER_CONSTANT
    blurred = np.stack([cv2.GaussianBlur(m, (kernel, kernel), 0, borderType=border) for m in maps])
    logs = np.pad(np.log(np.maximum(blurred, 1e-10)).astype(np.float64), ((0, 0), (2, 2), (2, 2)))

    def at(right: int, down: int) -> NDArray[np.float64]:
        return logs[k, y + 2 + down, x + 2 + right]

    dx, dy = (at(1, 0) - at(-1, 0)) / 2, (at(0, 1) - at(0, -1)) / 2
    dxx = (at(2, 0) - 2 * at(0, 0) + at(-2, 0)) / 4
    dyy = (at(0, 2) - 2 * at(0, 0) + at(0, -2)) / 4
    dxy = (at(1, 1) - at(-1, 1) - at(1, -1) + at(-1, -1)) / 4
    determinant = dxx * dyy - dxy**2
    usable = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2) & (determinant != 0)
    safe = np.where(usable, determinant, 1.0)
    steps = np.stack([(dxy * dy - dyy * dx) / safe, (dxy * dx - dxx * dy) / safe], axis=-1)
    usable &= (np.abs(steps) <= 1).all(-1)
    return np.where(usable[:, None], steps, 0.0)
