"""Small videos, made as cameras and phones make them."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

RATE = 25
Image = NDArray[np.uint8]


def numbered(count: int, height: int = 48, width: int = 64) -> list[Image]:
    """Frames whose brightness tells their number: 8 · number + 20, but for a bright corner."""
    frames = []
    for number in range(count):
        image = np.full((height, width, 3), 20 + 8 * number, np.uint8)
        image[: height // 4, : width // 4] = 250
        frames.append(image)
    return frames


def number_of(image: NDArray[Any]) -> int:
    """Which of the ``numbered`` frames it is, after encoding."""
    return round((float(image[-8:, -8:].mean()) - 20) / 8)


def write_film(
    path: Path,
    images: Sequence[Image],
    times_s: Sequence[float] | None = None,
    last_s: float | None = None,
    **options: Any,
) -> Path:
    """H.264 with a key frame in every fifth; the format follows from the name.

    The last frame is shown for ``last_s``.
    """
    height, width = images[0].shape[:2]
    with av.open(str(path), "w", **options) as container:
        stream = container.add_stream("libx264", rate=RATE, options={"g": "5", "bf": "0"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        tick = Fraction(1, 1000)
        stream.codec_context.time_base = tick
        packets = []
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            time_s = number / RATE if times_s is None else times_s[number]
            frame.pts, frame.time_base = round(time_s / tick), tick
            packets.extend(stream.encode(frame))
        packets.extend(stream.encode(None))
        if last_s is not None:
            packets[-1].duration = round(last_s / packets[-1].time_base)
        container.mux(packets)
    return path


def turn_clockwise(film: Path) -> None:
    """Ask players to turn an MP4 by 90 degrees, as phones do: the matrix in its track header."""
    data = bytearray(film.read_bytes())
    begin = data.index(b"tkhd") + 4 + 40
    matrix = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    data[begin : begin + 36] = struct.pack(">9i", *matrix)
    film.write_bytes(data)


def damage_packet(film: Path, number: int) -> None:
    """Overwrite all of one frame's data."""
    with av.open(str(film)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        position, size = packets[number].pos, packets[number].size
    data = bytearray(film.read_bytes())
    data[position + 5 : position + size] = b"\xff" * (size - 5)
    film.write_bytes(data)


def photograph(shared_data: Path, name: str = "000000000785") -> Image:
    image: Image = cv2.imread(str(shared_data / "images" / f"{name}.jpg"))
    return image


def pan(image: Image, count: int, size: tuple[int, int] = (480, 360)) -> list[Image]:
    """A camera that moves over ``image`` and nears it by a tenth; ``size`` is width, height."""
    height, width = image.shape[:2]
    frames = []
    for progress in np.linspace(0, 1, count):
        scale = (1 + 0.1 * progress) * size[0] / width
        shift_x = (1 - scale * width / size[0]) * size[0] * (0.2 + 0.6 * progress)
        shift_y = (size[1] - scale * height) / 2
        matrix = np.array([[scale, 0, shift_x], [0, scale, shift_y]])
        frames.append(cv2.warpAffine(image, matrix, size))
    return frames
