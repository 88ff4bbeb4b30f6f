"""Where frames come from: `open_source` knows a picture from a folder, a video and a camera."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from edgepose.errors import UsageError

Image = NDArray[np.uint8]
_URL = re.compile(r"[a-z][a-z0-9+.-]+://")


@dataclass(frozen=True, eq=False)
class FramePicture:
    """``image`` uint8 BGR [H, W, 3], upright.

    ``time_s`` is its time since the first frame, None for a single picture. ``id`` is what COCO
    results call the image: the number that is its file's name, or else its place, from 0 on.
    ``name`` is a file's name, or a frame's number as text.
    """

    image: Image
    time_s: float | None
    name: str
    id: int


class Source(ABC):
    """Frames of one origin, to be iterated once. Close it, or use it in ``with``.

    ``count`` is the expected number of frames and ``rate`` their number a second, None where
    unknown. ``notes`` tell, at the end or once it is closed, what could not be read.
    """

    kind: ClassVar[Literal["picture", "folder", "video", "camera"]]

    def __init__(self, name: str, count: int | None, rate: float | None) -> None:
        self.name, self.count, self.rate = name, count, rate
        self.notes: list[str] = []

    @abstractmethod
    def __iter__(self) -> Iterator[FramePicture]: ...

    def close(self) -> None:  # noqa: B027
        """Let go of what is open; most have nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_source(text: str) -> Source:
    """The frames that ``text`` names: a picture, a folder of pictures, a video, a camera.

    A camera is a number, ``/dev/video…`` or a URL. Raises UsageError where nothing can be read.
    """
    from edgepose.frames.camera import Camera
    from edgepose.frames.pictures import Folder, Picture, is_picture
    from edgepose.frames.video import Video

    path = Path(text)
    if text.isdecimal() and not path.exists():
        return Camera(int(text))
    if _URL.match(text) or text.startswith("/dev/video"):
        return Camera(text)
    if path.is_dir():
        return Folder(path)
    if not path.is_file():
        raise UsageError(
            f"there is no picture, folder or video {text}",
            hint="Check the path; a camera is a number such as 0, /dev/video0 or a URL.",
        )
    if path.stat().st_size == 0:
        raise UsageError(f"{text} is empty: it has no bytes", hint="Copy or record it again.")
    return Picture(path) if is_picture(path) else Video(path)
