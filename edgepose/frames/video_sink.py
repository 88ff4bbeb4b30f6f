"""H.264 in an MP4, through PyAV: what browsers and phones play."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from edgepose.errors import ToolchainError
from edgepose.files import take_place, temporary_beside
from edgepose.frames.packages import pyav
from edgepose.frames.source import FramePicture, Image
from edgepose.pose.people import Person

_TICK = Fraction(1, 90_000)
_ASSUMED_RATE = 30.0  # of a camera that does not say; the frames keep their own times
_ENCODERS = ("libx264", "libopenh264")
_OPTIONS = {"libx264": {"preset": "veryfast", "crf": "20"}}


class VideoFile:
    """Frames keep their times. The first one's size is the video's: later ones are fitted into it,
    and odd sizes gain a row or a column, since the format halves its colours' resolution.
    """

    draws = True

    def __init__(self, path: Path, rate: float | None) -> None:
        self.path = path
        self._av = pyav()
        self._rate = Fraction(rate or _ASSUMED_RATE).limit_denominator(1001)
        self._stream: Any = None
        self._last_tick = -1

    def take(self, frame: FramePicture, people: Sequence[Person], drawn: Image | None) -> None:
        assert drawn is not None
        stream = self._stream or self._begin(drawn)
        picture = self._av.VideoFrame.from_ndarray(
            fit(drawn, stream.height, stream.width), format="bgr24"
        )
        tick = round((frame.time_s or 0.0) / _TICK)
        self._last_tick = picture.pts = max(tick, self._last_tick + 1)
        picture.time_base = _TICK
        self._container.mux(stream.encode(picture))

    def _begin(self, image: Image) -> Any:
        name = next((name for name in _ENCODERS if name in self._av.codecs_available), None)
        if name is None:
            raise ToolchainError(
                "this build of PyAV has no H.264 encoder",
                hint="Install PyAV from its wheels, or save pictures into a folder.",
            )
        self._temporary = temporary_beside(self.path)
        # The index goes to the front, so that a browser plays it while it still loads.
        self._container = self._av.open(
            str(self._temporary), "w", format="mp4", options={"movflags": "+faststart"}
        )
        stream = self._container.add_stream(name, rate=self._rate, options=_OPTIONS.get(name, {}))
        height, width = image.shape[:2]
        stream.height, stream.width = height + height % 2, width + width % 2
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = _TICK
        self._stream = stream
        return stream

    def close(self) -> None:
        """Finish the video; there is none where no frame was taken."""
        if self._stream is None:
            return
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            take_place(self._temporary, self.path)
        finally:
            self._temporary.unlink(missing_ok=True)


def fit(image: Image, height: int, width: int) -> Image:
    """``image`` [height, width, 3]: padded by a repeated edge where a pixel is missing, otherwise
    scaled into the middle of a black frame.
    """
    import cv2

    own_height, own_width = image.shape[:2]
    missing = (height - own_height, width - own_width)
    if missing == (0, 0):
        return image
    if all(0 <= pixels <= 1 for pixels in missing):
        return np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), "edge")
    scale = min(height / own_height, width / own_width)
    size = (max(1, round(own_width * scale)), max(1, round(own_height * scale)))
    inner = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[top : top + size[1], left : left + size[0]] = inner
    return canvas
