"""Drawn pictures: one, or one file a frame."""

from collections.abc import Sequence
from pathlib import Path

import cv2

from edgepose.errors import UsageError
from edgepose.files import write_atomic
from edgepose.frames.source import FramePicture, Image
from edgepose.pose.people import Person

_QUALITY = {
    ".jpg": (cv2.IMWRITE_JPEG_QUALITY, 92),
    ".jpeg": (cv2.IMWRITE_JPEG_QUALITY, 92),
    ".webp": (cv2.IMWRITE_WEBP_QUALITY, 92),
    ".png": (cv2.IMWRITE_PNG_COMPRESSION, 3),
}


def write_picture(path: Path, image: Image) -> None:
    """Write uint8 BGR ``image`` as the name's ending says. Raises UsageError where it fails."""
    suffix = path.suffix.lower()
    good, data = cv2.imencode(suffix, image, _QUALITY[suffix])
    if not good:
        height, width = image.shape[:2]
        raise UsageError(f"a picture of {width}x{height} cannot be saved as {suffix}")
    write_atomic(path, data.tobytes())


class OnePicture:
    draws = True

    def __init__(self, path: Path) -> None:
        self.path = path

    def take(self, frame: FramePicture, people: Sequence[Person], drawn: Image | None) -> None:
        assert drawn is not None
        write_picture(self.path, drawn)

    def close(self) -> None:
        """The picture is written."""


class PictureFolder:
    """PNG files: a picture's keep its name, a video's are numbered from ``000000.png`` on.

    Of ``boat.jpg`` and ``boat.png`` the later one becomes ``boat.png.png``.
    """

    draws = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self._used: set[str] = set()

    def take(self, frame: FramePicture, people: Sequence[Person], drawn: Image | None) -> None:
        assert drawn is not None
        name = Path(frame.name).stem if frame.time_s is None else frame.name.zfill(6)
        if name in self._used:
            name = frame.name
        self._used.add(name)
        write_picture(self.path / f"{name}.png", drawn)

    def close(self) -> None:
        """Each picture is whole once it is there."""
