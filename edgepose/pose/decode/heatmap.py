"""Heatmaps: each key point is the peak of its own map."""

from functools import cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edgepose.pose.result import Floats, Keypoints

Refine = Literal["none", "quarter", "dark", "udp"]

_LEAST, _MOST = 1e-3, 50.0  # what mmpose limits the blurred map to before its logarithm
_EPSILON = float(np.finfo(np.float32).eps)  # which mmpose adds to the Hessian's diagonal
_AROUND = np.arange(-1, 2)


def _derivatives() -> NDArray[np.float64]:
    """Of 5 x 5 cells: first and second derivatives in their middle [25, 5], DARK's differences."""
    half, second = np.array([0, -0.5, 0, 0.5, 0]), np.array([0.25, 0, -0.5, 0, 0.25])
    here = np.array([0.0, 0, 1, 0, 0])
    pairs = [(here, half), (half, here), (here, second), (second, here), (half, half)]
    return np.stack([np.outer(*pair).ravel() for pair in pairs], axis=-1)


_DERIVATIVES = _derivatives()  # dx, dy, dxx, dyy, dxy


def decode_heatmaps(
    heatmaps: Floats,
    stride: tuple[float, float],
    refine: Refine = "quarter",
    blur_kernel: int = 11,
) -> Keypoints:
    """Heatmaps [1, K, h, w] to key points; cell i lies at input pixel i·``stride`` (x, y).

    ``refine``: ``quarter`` = a quarter cell towards the higher neighbour (mmpose's MSRA codec);
    ``dark`` = Taylor step on the logarithm of the map after a Gaussian of ``blur_kernel`` cells
    (Zhang et al., CVPR 2020); ``udp`` = the same as mmpose's UDP codec takes it, with neighbours
    one cell away. Score = the raw peak; score ≤ 0 means no point: cell (-1, -1).
    """
    points, scores = heatmap_points(heatmaps, stride, refine, blur_kernel)
    return Keypoints(points[0], scores[0])


def heatmap_points(
    heatmaps: Floats,
    stride: tuple[float, float],
    refine: Refine = "quarter",
    blur_kernel: int = 11,
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """As ``decode_heatmaps`` for N crops at once: points [N, K, 2] and scores [N, K]."""
    count, keypoints, height, width = heatmaps.shape
    maps = heatmaps.reshape(-1, height, width).astype(np.float32, copy=False)
    flat = maps.reshape(len(maps), -1)
    best = flat.argmax(axis=-1)
    scores = flat[np.arange(len(flat)), best]
    y, x = np.divmod(best, width)
    cells = np.empty((len(flat), 2))
    cells[:, 0], cells[:, 1] = x, y
    if refine == "quarter":
        cells += _quarter_step(maps, x, y)
    elif refine == "dark":
        cells += _dark_step(maps, x, y, blur_kernel)
    elif refine == "udp":
        cells += _udp_step(maps, x, y, blur_kernel)
    cells[scores <= 0] = -1
    return (cells * stride).reshape(count, keypoints, 2), scores.reshape(count, keypoints)


def _quarter_step(
    maps: NDArray[np.float32], x: NDArray[np.int64], y: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Steps [M, 2] of 0 or ±0.25 cells. mmpose leaves two cells at the low edge, one at the high.

    An axis is stepped only where the other coordinate is not 0 either; that is the reference's.
    """
    count, height, width = maps.shape
    k = np.arange(count)
    dx = maps[k, y, np.minimum(x + 1, width - 1)] - maps[k, y, np.maximum(x - 1, 0)]
    dy = maps[k, np.minimum(y + 1, height - 1), x] - maps[k, np.maximum(y - 1, 0), x]
    inside_x = (x > 1) & (x < width - 1) & (y > 0)
    inside_y = (y > 1) & (y < height - 1) & (x > 0)
    return 0.25 * np.stack([np.sign(dx) * inside_x, np.sign(dy) * inside_y], axis=-1)


def _dark_step(
    maps: NDArray[np.float32], x: NDArray[np.int64], y: NDArray[np.int64], kernel: int
) -> NDArray[np.float64]:
    """Newton steps [M, 2] in cells from the peak of the map to the peak of its Gaussian.

    Zero within two cells of the edge, and where the step is longer than a cell: no Gaussian there.
    """
    _, height, width = maps.shape
    logs = np.log(np.maximum(_blurred_around(maps, x, y, kernel), 1e-10)).astype(np.float64)
    dx, dy, dxx, dyy, dxy = (logs.reshape(-1, 25) @ _DERIVATIVES).T
    determinant = dxx * dyy - dxy**2
    usable = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2) & (determinant != 0)
    determinant[~usable] = np.inf
    right = (dxy * dy - dyy * dx) / determinant
    down = (dxy * dx - dxx * dy) / determinant
    near = (np.abs(right) <= 1) & (np.abs(down) <= 1)
    steps = np.empty((len(maps), 2))
    steps[:, 0], steps[:, 1] = np.where(near, right, 0), np.where(near, down, 0)
    return steps


def _blurred_around(
    maps: NDArray[np.float32], x: NDArray[np.int64], y: NDArray[np.int64], kernel: int
) -> NDArray[np.float32]:
    """The 5 x 5 cells around each (x, y) after the Gaussian; the maps are 0 outside."""
    count, height, width = maps.shape
    side = np.arange(-2 - kernel // 2, 3 + kernel // 2)
    first = (np.arange(count) * height + y) * width + x
    around = first[:, None, None] + (side[:, None] * width + side)
    patches = maps.ravel().take(around, mode="clip")  # outside of its map what is in others
    rows, columns = (y[:, None] + side)[:, :, None], (x[:, None] + side)[:, None]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    if not inside.all():
        patches = np.where(inside, patches, np.float32(0))
    blurred: NDArray[np.float32] = _weights(kernel) @ patches @ _weights(kernel).T
    return blurred


@cache
def _weights(kernel: int) -> NDArray[np.float32]:
    """What each cell of a row around a peak adds to the 5 blurred ones: [5, kernel + 4]."""
    gaussian = cv2.getGaussianKernel(kernel, 0, cv2.CV_32F)[:, 0]
    weights = np.zeros((5, kernel + 4), np.float32)
    for row in range(5):
        weights[row, row : row + kernel] = gaussian
    return weights


def _udp_step(
    maps: NDArray[np.float32], x: NDArray[np.int64], y: NDArray[np.int64], kernel: int
) -> NDArray[np.float64]:
    """Newton steps [M, 2] in cells as mmpose's UDP codec takes them, at the edges and all.

    The blurred map is as high as the map was: that decides what its least value cuts off.
    """
    count, height, width = maps.shape
    margin = kernel // 2  # rows of zeros between the maps, which are then blurred as one
    tall = np.zeros((count, height + 2 * margin, width), np.float32)
    tall[:, margin : margin + height] = maps
    one = cv2.GaussianBlur(
        tall.reshape(-1, width), (kernel, kernel), 0, borderType=cv2.BORDER_CONSTANT
    )
    blurred = one.reshape(tall.shape)[:, margin : margin + height]
    highest, before = blurred.max(axis=(1, 2)), maps.max(axis=(1, 2))
    scale = np.divide(before, highest, out=np.ones_like(before), where=highest > 0)
    rows = np.clip(y[:, None] + _AROUND, 0, height - 1)[:, :, None]
    columns = np.clip(x[:, None] + _AROUND, 0, width - 1)[:, None, :]
    near = blurred[np.arange(count)[:, None, None], rows, columns] * scale[:, None, None]
    logs: NDArray[np.float64] = np.log(np.clip(near, _LEAST, _MOST)).astype(np.float64)

    def at(right: int, down: int) -> NDArray[np.float64]:
        return logs[:, 1 + down, 1 + right]

    dx, dy = (at(1, 0) - at(-1, 0)) / 2, (at(0, 1) - at(0, -1)) / 2
    dxx, dyy = at(1, 0) - 2 * at(0, 0) + at(-1, 0), at(0, 1) - 2 * at(0, 0) + at(0, -1)
    dxy = (at(1, 1) - at(1, 0) - at(0, 1) + 2 * at(0, 0) - at(-1, 0) - at(0, -1) + at(-1, -1)) / 2
    dxx, dyy = dxx + _EPSILON, dyy + _EPSILON
    determinant = dxx * dyy - dxy**2
    solvable = determinant != 0
    safe = np.where(solvable, determinant, 1.0)
    steps = np.stack([(dxy * dy - dyy * dx) / safe, (dxy * dx - dxx * dy) / safe], axis=-1)
    return np.where(solvable[:, None], steps, 0.0)
