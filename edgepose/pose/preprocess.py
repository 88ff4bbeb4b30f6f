"""From an image to the net's input tensor, and the way back from input pixels to image pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgepose.errors import UsageError
from edgepose.zoo import InputSpec

PADDING = 1.25  # how much wider than its person's box a crop is (mmpose's GetBBoxCenterScale)


@dataclass(frozen=True, eq=False)
class Placement:
    """Where an image lies in the net's input: ``input = matrix · (x, y, 1)``.

    ``matrix`` is float64 [2, 3] and maps image pixels to input pixels.
    """

    matrix: NDArray[np.float64]

    def to_input(self, points: ArrayLike) -> NDArray[np.float64]:
        """Image pixels to input pixels; any shape [..., 2], x first."""
        return np.asarray(points, np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]

    def to_image(self, points: ArrayLike) -> NDArray[np.float64]:
        """Input pixels to image pixels; any shape [..., 2], x first."""
        moved = np.asarray(points, np.float64) - self.matrix[:, 2]
        return moved @ np.linalg.inv(self.matrix[:, :2]).T


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file as uint8 BGR [H, W, 3]; grey, 16-bit and alpha files are converted.

    Raises UsageError where the file is absent or not an image.
    """
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise UsageError(
            f"image {path} cannot be read: {error.strerror}", hint="Check the path."
        ) from None
    image: NDArray[np.uint8] | None = None
    if data.size:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if image is None:
        raise UsageError(
            f"{path} is not an image that OpenCV can read", hint="Use a JPEG or PNG file."
        )
    return image


def to_bgr(image: NDArray[Any]) -> NDArray[np.uint8]:
    """An image array as BGR [H, W, 3]: grey is repeated, alpha is dropped.

    Takes uint8 [H, W], [H, W, 1], [H, W, 3] (BGR) or [H, W, 4] (BGRA); else raises UsageError.
    """
    fits = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3, 4))
    if image.dtype != np.uint8 or not fits or not image.size:
        raise UsageError(
            f"not an image: {image.dtype} array of shape {list(image.shape)}",
            hint="Give uint8 [H, W, 3] in OpenCV's order (blue, green, red).",
        )
    pixels = image[:, :, None] if image.ndim == 2 else image
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    return np.ascontiguousarray(pixels[:, :, :3])


def prepare(
    image: NDArray[Any], spec: InputSpec, box: ArrayLike | None = None
) -> tuple[NDArray[np.float32], Placement]:
    """Turn a uint8 BGR image [H, W, 3] into the net's input float32 [1, 3, height, width].

    ``box`` is a person's box x1, y1, x2, y2 in image pixels, for ``fit = "crop"`` only (default
    there: the whole image). Raises UsageError for what is not an image or not a box.
    """
    pixels = to_bgr(image)
    size = (pixels.shape[0], pixels.shape[1])
    if spec.fit == "crop":
        placement = _crop(spec, (0, 0, size[1], size[0]) if box is None else box)
        fitted = cv2.warpAffine(
            pixels,
            placement.matrix,
            (spec.width, spec.height),
            flags=cv2.INTER_LINEAR,
            borderValue=(spec.pad,) * 3,
        )
    elif box is None:
        fitted, placement = _whole(pixels, spec)
    else:
        raise UsageError(
            f"a person's box has no meaning for a net with fit {spec.fit!r}",
            hint="Leave the box out: this net sees the whole image.",
        )
    channels = fitted[:, :, ::-1] if spec.color == "rgb" else fitted
    mean, std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
    normal = (channels.astype(np.float32) - mean) / std
    return np.ascontiguousarray(normal.transpose(2, 0, 1)[None]), placement


def _crop(spec: InputSpec, box: ArrayLike) -> Placement:
    """mmpose's top-down crop without UDP: box centre → input centre, widened to the input's shape.

    The box's centre lands on (width / 2, height / 2), not on the middle pixel's centre.
    """
    corners = np.asarray(box, np.float64)
    finite = corners.shape == (4,) and bool(np.isfinite(corners).all())
    if not finite or (corners[2:] <= corners[:2]).any():
        raise UsageError(
            f"not a box: {corners.tolist()}", hint="Give x1, y1, x2, y2 with x2 > x1 and y2 > y1."
        )
    centre = (corners[:2] + corners[2:]) / 2
    width, height = (corners[2:] - corners[:2]) * PADDING
    scale = spec.width / max(width, height * spec.width / spec.height)
    return _scaled(scale, scale, np.array([spec.width, spec.height]) / 2 - scale * centre)


def _whole(image: NDArray[np.uint8], spec: InputSpec) -> tuple[NDArray[np.uint8], Placement]:
    """Resize the whole image; with a kept ratio the rest of the input is ``spec.pad``.

    Scales are those of the rounded size, as in mmdet's Resize. They map edges to edges, as boxes
    want it.
    """
    height, width = image.shape[:2]
    new_width, new_height, left, top = spec.width, spec.height, 0, 0
    if spec.fit != "stretch":
        scale = min(spec.width / width, spec.height / height)
        new_width = min(max(int(width * scale + 0.5), 1), spec.width)
        new_height = min(max(int(height * scale + 0.5), 1), spec.height)
        if spec.fit == "center":
            left, top = (spec.width - new_width) // 2, (spec.height - new_height) // 2
    canvas = np.full((spec.height, spec.width, 3), round(spec.pad), np.uint8)
    canvas[top : top + new_height, left : left + new_width] = cv2.resize(
        image, (new_width, new_height), interpolation=cv2.INTER_LINEAR
    )
    return canvas, _scaled(new_width / width, new_height / height, np.array([left, top]))


def _scaled(x: float, y: float, offset: NDArray[Any]) -> Placement:
    return Placement(np.array([[x, 0.0, offset[0]], [0.0, y, offset[1]]]))
