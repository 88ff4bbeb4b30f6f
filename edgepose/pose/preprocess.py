"""From an image to the net's input tensor, and the way back from input pixels to image pixels."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgepose.errors import UsageError
from edgepose.zoo import InputSpec

PADDING = 1.25  # how much wider than its person's box a crop is (mmpose's GetBBoxCenterScale)
CROPS = ("crop", "crop-udp")  # what InputSpec.fit is for a net of single persons
_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
_MARGIN = 2  # pixels around a crop that interpolation may reach for
_COPIED = 1 << 21  # bytes of an image up to which a copy with a fourth channel pays


@dataclass(frozen=True, eq=False)
class Placement:
    """Where images lie in the net's input: ``input = matrix · (x, y, 1)``.

    ``matrix`` is float64 [2, 3] and maps image pixels to input pixels; [N, 2, 3] is a placement for
    each of N crops, whose points are [N, K, 2]. ``filled`` is the part of the input, x1, y1, x2, y2
    in its pixels, that a whole image covers; the rest is padding.
    """

    matrix: NDArray[np.float64]
    filled: tuple[float, float, float, float] | None = None

    def to_input(self, points: ArrayLike) -> NDArray[np.float64]:
        """Image pixels to input pixels; any shape [..., 2], x first."""
        return np.asarray(points, np.float64) @ self.matrix[..., :2].swapaxes(-1, -2) + self._shift

    def to_image(self, points: ArrayLike) -> NDArray[np.float64]:
        """Input pixels to image pixels; any shape [..., 2], x first."""
        return (np.asarray(points, np.float64) - self._shift) @ self._back

    @property
    def _shift(self) -> NDArray[np.float64]:
        shift = self.matrix[..., 2]
        return shift if self.matrix.ndim == 2 else shift[:, None]

    @cached_property
    def _back(self) -> NDArray[np.float64]:
        return np.linalg.inv(self.matrix[..., :2]).swapaxes(-1, -2).astype(np.float64)


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
        try:
            image = cv2.imdecode(data, cv2.IMREAD_COLOR)
        except cv2.error:  # more pixels than it takes
            image = None
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

    ``box`` is a person's box x1, y1, x2, y2 in image pixels, for crops only (default there: the
    whole image). Raises UsageError for what is not an image or not a box.
    """
    pixels = to_bgr(image)
    if spec.fit in CROPS:
        whole = (0, 0, pixels.shape[1], pixels.shape[0])
        corners = np.asarray(whole if box is None else box, np.float64)
        tensor, crops = prepare_crops(pixels, spec, corners[None])
        return tensor, Placement(crops.matrix[0])
    if box is not None:
        raise UsageError(
            f"a person's box has no meaning for a net with fit {spec.fit!r}",
            hint="Leave the box out: this net sees the whole image.",
        )
    fitted, placement = _whole(pixels, spec)
    tensor = np.empty((1, 3, spec.height, spec.width), np.float32)
    _normalise(fitted, spec, tensor[0])
    return tensor, placement


def prepare_crops(
    image: NDArray[Any], spec: InputSpec, boxes: ArrayLike
) -> tuple[NDArray[np.float32], Placement]:
    """Crops around persons' ``boxes`` [N, 4], as ``prepare`` takes one: float32 [N, 3, h, w]."""
    pixels = to_bgr(image)
    corners = np.asarray(boxes, np.float64)
    if corners.ndim != 2 or corners.shape[1] != 4 or not _have_area(corners):
        raise UsageError(
            f"not a box: {np.asarray(boxes).tolist()}",
            hint="Give x1, y1, x2, y2 with x2 > x1 and y2 > y1.",
        )
    centres = (corners[:, :2] + corners[:, 2:]) / 2
    sides = (corners[:, 2:] - corners[:, :2]) * PADDING
    widths = np.maximum(sides[:, 0], sides[:, 1] * spec.width / spec.height)
    size = (spec.width, spec.height)
    matrices = crop_matrices(centres, widths, size, spec.fit == "crop-udp")
    tensors = np.empty((len(corners), 3, spec.height, spec.width), np.float32)
    placement = Placement(matrices)
    reach = placement.to_image(np.broadcast_to(_CORNERS, (len(matrices), 4, 2)) * size)
    starts = np.maximum(np.floor(reach.min(axis=1)) - _MARGIN, 0).astype(int).tolist()
    ends = np.maximum(np.ceil(reach.max(axis=1)) + _MARGIN, 0).astype(int).tolist()
    for matrix, start, end, tensor in zip(matrices, starts, ends, tensors, strict=True):
        part = pixels[start[1] : end[1], start[0] : end[0]]
        _normalise(_warped(pixels, part, start, matrix, spec), spec, tensor)
    return tensors, placement


def crop_matrices(
    centres: NDArray[np.float64],
    widths: NDArray[np.float64],
    size: tuple[int, int],
    udp: bool = False,
    rotations: ArrayLike = 0.0,
) -> NDArray[np.float64]:
    """mmpose's top-down crops: image pixels to those of an input of ``size`` (width, height).

    [N, 2, 3] for crops of ``widths`` [N] image pixels around ``centres`` [N, 2], turned by
    ``rotations`` [N] degrees. A centre lands on (width / 2, height / 2), not on the middle pixel's
    centre. With ``udp`` (Huang et al., CVPR 2020) a crop reaches from the centre of the first pixel
    to that of the last one; its centre lands on ((width - 1) / 2, (height - 1) / 2).
    """
    target = np.array(size, np.float64)
    angles = np.broadcast_to(np.deg2rad(rotations), widths.shape)
    cos, sin = np.cos(angles), np.sin(angles)
    if udp:
        target = target - 1
        heights = widths * (size[1] / size[0])
        scales = np.stack([target[0] / widths, target[1] / heights], axis=-1)
        turns = np.array([[cos, -sin], [sin, cos]])
    else:
        scales = np.repeat(target[0] / widths[:, None], 2, axis=1)
        turns = np.array([[cos, sin], [-sin, cos]])
    linear = scales[:, :, None] * turns.transpose(2, 0, 1)
    shifts = target / 2 - (linear @ centres[:, :, None])[..., 0]
    return np.concatenate([linear, shifts[:, :, None]], axis=-1)


def _have_area(boxes: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(boxes).all() and (boxes[:, 2:] > boxes[:, :2]).all())


def _warped(
    image: NDArray[np.uint8],
    part: NDArray[np.uint8],
    start: list[int],
    matrix: NDArray[np.float64],
    spec: InputSpec,
) -> NDArray[np.uint8]:
    """The crop [h, w, 4] or [h, w, 3]; outside of the image it is ``spec.pad``.

    ``part`` of the image, from ``start`` (x, y) on, is all that the crop needs: OpenCV warps four
    channels twice as fast as three, which is worth a copy.
    """
    if 0 < part.size <= _COPIED:
        image = cv2.cvtColor(part, cv2.COLOR_BGR2BGRA)
        matrix = matrix.copy()
        matrix[:, 2] += matrix[:, :2] @ start
    size, fill = (spec.width, spec.height), (spec.pad,) * 4
    crop: NDArray[Any] = cv2.warpAffine(
        image, matrix, size, flags=cv2.INTER_LINEAR, borderValue=fill
    )
    return crop


def _normalise(pixels: NDArray[np.uint8], spec: InputSpec, tensor: NDArray[np.float32]) -> None:
    """Write the first three channels of ``pixels`` [h, w, C], BGR, into ``tensor`` [3, h, w]."""
    planes = cv2.split(pixels)[:3]
    ordered = planes[::-1] if spec.color == "rgb" else planes
    for plane, mean, std, into in zip(ordered, spec.mean, spec.std, tensor, strict=True):
        # One pass of OpenCV: plane / std + 0 - mean / std, as float32.
        cv2.addWeighted(plane, 1 / std, plane, 0, -mean / std, into, cv2.CV_32F)


def _whole(image: NDArray[np.uint8], spec: InputSpec) -> tuple[NDArray[np.uint8], Placement]:
    """Resize the whole image; with a kept ratio the rest of the input is ``spec.pad``.

    Scales are those of the rounded size, as in mmdet's Resize. They map edges to edges, as boxes
    want it.
    """
    height, width = image.shape[:2]
    if spec.fit == "short":
        return _filled_by_short_side(image, spec)
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
    scales = np.diag([new_width / width, new_height / height])
    matrix = np.concatenate([scales, [[left], [top]]], axis=1)
    return canvas, Placement(matrix, (left, top, left + new_width, top + new_height))


def _filled_by_short_side(
    image: NDArray[np.uint8], spec: InputSpec
) -> tuple[NDArray[np.uint8], Placement]:
    """As HigherHRNet and LitePose resize: short side to short side, centre to centre.

    What the input has more of the long side is ``spec.pad``; what it has less is cut off. The
    image's centre is a whole pixel there.
    """
    height, width = image.shape[:2]
    scale = spec.width / width if width < height else spec.height / height
    centre = np.array([int(width / 2 + 0.5), int(height / 2 + 0.5)])
    shift = np.array([spec.width, spec.height]) / 2 - scale * centre
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    left, top = np.maximum(shift, 0).tolist()
    right = min(shift[0] + scale * width, spec.width)
    bottom = min(shift[1] + scale * height, spec.height)
    fitted = cv2.warpAffine(
        image,
        matrix,
        (spec.width, spec.height),
        flags=cv2.INTER_LINEAR,
        borderValue=(spec.pad,) * 3,
    )
    return fitted, Placement(matrix, (left, top, right, bottom))
