"""From an image to the net's input tensor, and the way back from input pixels to image pixels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgepose.errors import UsageError
from edgepose.zoo import InputSpec

PADDING = 1.25  # how much wider than its person's box a crop is (mmpose's GetBBoxCenterScale)
CROPS = ("crop", "crop-udp")  # what InputSpec.fit is for a net of single persons
_MARGIN = 2  # pixels around a crop that interpolation may reach for
_LEAST_CROP, _WIDEST_CROP = 1e-6, 1e9  # image pixels: beyond, numbers overflow
_COPIED = 1 << 21  # bytes of an image up to which a copy with a fourth channel pays

Matrix: TypeAlias = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True, eq=False)
class Placement:
    """Where an image lies in the net's input: ``input = scale · (x, y) + shift``, never turned.

    ``scale`` and ``shift`` are float64 [2]; [N, 1, 2] is a placement for each of N crops, whose
    points are [N, K, 2]. ``filled`` is the part of the input, x1, y1, x2, y2 in its pixels, that a
    whole image covers; the rest is padding.
    """

    scale: NDArray[np.float64]
    shift: NDArray[np.float64]
    filled: tuple[float, float, float, float] | None = None

    def to_input(self, points: ArrayLike) -> NDArray[np.float64]:
        """Image pixels to input pixels; any shape [..., 2], x first."""
        return np.asarray(points, np.float64) * self.scale + self.shift

    def to_image(self, points: ArrayLike) -> NDArray[np.float64]:
        """Input pixels to image pixels; any shape [..., 2], x first."""
        return (np.asarray(points, np.float64) - self.shift) / self.scale


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file as uint8 BGR [H, W, 3]; grey, 16-bit and alpha files are converted.

    Raises UsageError where the file is absent or not an image.
    """
    return decode_image(image_bytes(path), path)


def image_bytes(path: Path) -> bytes:
    """The content of an image file. Raises UsageError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"image {path} cannot be read: {error.strerror}", hint="Check the path."
        ) from None


def decode_image(content: bytes, path: Path) -> NDArray[np.uint8]:
    """``read_image`` of what was read from ``path``."""
    image: NDArray[np.uint8] | None = None
    if content:
        try:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
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
        tensor, crops = prepare_crops(pixels, spec, np.array([whole if box is None else box]))
        return tensor, Placement(crops.scale[0, 0], crops.shift[0, 0])
    if box is not None:
        raise UsageError(
            f"a person's box has no meaning for a net with fit {spec.fit!r}",
            hint="Leave the box out: this net sees the whole image.",
        )
    tensor = np.empty((1, 3, spec.height, spec.width), np.float32)
    fit = _filled_by_short_side if spec.fit == "short" else _resized
    return tensor, fit(pixels, spec, tensor[0])


def prepare_crops(
    image: NDArray[Any], spec: InputSpec, boxes: ArrayLike
) -> tuple[NDArray[np.float32], Placement]:
    """Crops around persons' ``boxes`` [N, 4], as ``prepare`` takes one: float32 [N, 3, h, w]."""
    pixels = to_bgr(image)
    size, udp = (spec.width, spec.height), spec.fit == "crop-udp"
    # Plain numbers: of a few people, arrays would take longer than the computing.
    matrices = [crop_matrix(*view, size, udp) for view in _views(boxes, size)]
    tensors = np.empty((len(matrices), 3, spec.height, spec.width), np.float32)
    planes = list(np.empty((4, spec.height, spec.width), np.uint8))
    for matrix, tensor in zip(matrices, tensors, strict=True):
        _normalise(_crop(pixels, matrix, spec), spec, tensor, planes)
    places = np.array([(a, d, x, y) for (a, _, x), (_, d, y) in matrices]).reshape(-1, 1, 4)
    return tensors, Placement(places[..., :2], places[..., 2:])


def crop_matrix(
    centre: Sequence[float],
    width: float,
    size: tuple[int, int],
    udp: bool = False,
    degrees: float = 0.0,
) -> Matrix:
    """mmpose's top-down crop: image pixels to those of an input of ``size`` (width, height).

    The crop is ``width`` image pixels wide around ``centre`` (x, y), turned by ``degrees``, as
    mmpose augments; ``Placement`` knows upright ones only. The centre lands on (width / 2,
    height / 2), not on the middle pixel's centre. With ``udp`` (Huang et al., CVPR 2020) the crop
    reaches from the centre of the first pixel to that of the last one; its centre lands on
    ((width - 1) / 2, (height - 1) / 2).
    """
    across = down = size[0] / width
    columns, rows = size
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    if udp:
        columns, rows, sin = columns - 1, rows - 1, -sin
        across, down = columns / width, rows / (width * (size[1] / size[0]))
    (x, y), (a, b, c, d) = centre, (across * cos, across * sin, -down * sin, down * cos)
    return (a, b, columns / 2 - a * x - b * y), (c, d, rows / 2 - c * x - d * y)


def _views(boxes: ArrayLike, size: tuple[int, int]) -> list[tuple[tuple[float, float], float]]:
    """Centre and width of the crops around ``boxes`` [N, 4]; UsageError for what is no box."""
    corners = np.asarray(boxes, np.float64)
    views = []
    if corners.ndim == 2 and corners.shape[1] == 4:
        for x1, y1, x2, y2 in corners.tolist():
            width, height = x2 - x1, y2 - y1
            across = max(width, height * size[0] / size[1]) * PADDING
            if not (width > 0 and height > 0 and _LEAST_CROP < across < _WIDEST_CROP):
                break
            views.append((((x1 + x2) / 2, (y1 + y2) / 2), across))
    if corners.ndim != 2 or len(views) < len(corners):
        raise UsageError(
            f"not a box: {corners.tolist()}",
            hint="Give x1, y1, x2, y2 with x2 > x1 and y2 > y1.",
        )
    return views


def _crop(image: NDArray[np.uint8], matrix: Matrix, spec: InputSpec) -> NDArray[np.uint8]:
    """The crop [h, w, 4] or [h, w, 3]; outside of the image it is ``spec.pad``."""
    (across, _, left), (_, down, top) = matrix
    x, y = -left / across, -top / down  # where in the image the crop begins
    x1, y1 = max(math.floor(x) - _MARGIN, 0), max(math.floor(y) - _MARGIN, 0)
    x2 = max(math.ceil(x + spec.width / across) + _MARGIN, 0)
    y2 = max(math.ceil(y + spec.height / down) + _MARGIN, 0)
    part = image[y1:y2, x1:x2]
    if 0 < part.size <= _COPIED:
        # OpenCV warps four channels twice as fast as three, which is worth a copy.
        image, x, y = cv2.cvtColor(part, cv2.COLOR_BGR2BGRA), x - x1, y - y1
    crop: NDArray[Any] = cv2.warpAffine(
        image,
        np.array(((1 / across, 0.0, x), (0.0, 1 / down, y))),
        (spec.width, spec.height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderValue=(spec.pad,) * 4,
    )
    return crop


def _normalise(
    pixels: NDArray[np.uint8],
    spec: InputSpec,
    tensor: NDArray[np.float32],
    planes: Sequence[NDArray[np.uint8]] | None = None,
) -> None:
    """Write the first three channels of ``pixels`` [h, w, C], BGR, into ``tensor`` [3, h, w].

    ``planes`` [h, w], at least C of them, are written over: to find memory takes OpenCV as long as
    to write it.
    """
    channels = pixels.shape[2]
    own = planes or list(np.empty((channels, *pixels.shape[:2]), np.uint8))
    ordered = cv2.split(pixels, own[:channels])[:3]
    if spec.color == "rgb":
        ordered = ordered[::-1]
    for plane, mean, std, into in zip(ordered, spec.mean, spec.std, tensor, strict=True):
        # One pass of OpenCV: plane / std + 0 - mean / std, as float32.
        cv2.addWeighted(plane, 1 / std, plane, 0, -mean / std, into, cv2.CV_32F)


def _resized(image: NDArray[np.uint8], spec: InputSpec, tensor: NDArray[np.float32]) -> Placement:
    """Write the whole image into ``tensor`` [3, h, w]; with a kept ratio the rest is ``spec.pad``.

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
    right, bottom = left + new_width, top + new_height
    fitted = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    _normalise(fitted, spec, tensor[:, top:bottom, left:right])
    for strip in (tensor[:, :top], tensor[:, bottom:], tensor[:, :, :left], tensor[:, :, right:]):
        if strip.size:
            strip[:] = _padding(spec)
    return Placement(
        np.array([new_width / width, new_height / height]),
        np.array([left, top], np.float64),
        (left, top, right, bottom),
    )


@lru_cache
def _padding(spec: InputSpec) -> NDArray[np.float32]:
    """The value of padding in the input [3, 1, 1]."""
    pad = np.empty((3, 1, 1), np.float32)
    _normalise(np.array([[[round(spec.pad)] * 3]], np.uint8), spec, pad)
    return pad


def _filled_by_short_side(
    image: NDArray[np.uint8], spec: InputSpec, tensor: NDArray[np.float32]
) -> Placement:
    """As HigherHRNet and LitePose resize: short side to short side, centre to centre.

    What the input has more of the long side is ``spec.pad``; what it has less is cut off. The
    image's centre is a whole pixel there.
    """
    height, width = image.shape[:2]
    scale = spec.width / width if width < height else spec.height / height
    centre = np.array([int(width / 2 + 0.5), int(height / 2 + 0.5)])
    shift = np.array([spec.width, spec.height]) / 2 - scale * centre
    left, top = np.maximum(shift, 0).tolist()
    right = min(shift[0] + scale * width, spec.width)
    bottom = min(shift[1] + scale * height, spec.height)
    fitted = cv2.warpAffine(
        image,
        np.array([[scale, 0, shift[0]], [0, scale, shift[1]]]),
        (spec.width, spec.height),
        flags=cv2.INTER_LINEAR,
        borderValue=(spec.pad,) * 3,
    )
    _normalise(fitted, spec, tensor)
    return Placement(np.array([scale, scale]), shift, (left, top, right, bottom))
