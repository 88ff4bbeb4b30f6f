"""Pictures from files: upright, 8 bits, three channels, whatever they were."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgepose.errors import UsageError
from edgepose.frames.source import FramePicture, Image, Source

_JPEG = b"\xff\xd8"
_GIF = b"GIF8"  # moving pictures: read as videos
_WHITE = 255.0


def is_picture(path: Path) -> bool:
    """Whether the file's first bytes are those of a still picture that OpenCV reads."""
    with path.open("rb") as file:
        if file.read(4) == _GIF:
            return False
    return bool(cv2.haveImageReader(str(path)))


def read_picture(path: Path) -> Image:
    """uint8 BGR [H, W, 3]: turned as its EXIF says, transparent parts on white.

    Raises UsageError where it cannot be read.
    """
    return decode_picture(path.read_bytes(), str(path))


def decode_picture(data: bytes, name: str) -> Image:
    """``read_picture`` of a file's content."""
    problem = UsageError(
        f"{name} is not a picture that can be read, or is damaged",
        hint="Open it in an image viewer, and save it as JPEG or PNG.",
    )
    if not data:
        raise problem
    encoded = np.frombuffer(data, np.uint8)
    try:
        image = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        # Only IMREAD_UNCHANGED keeps transparency, and it turns nothing upright.
        raw = None if data.startswith(_JPEG) else cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    except cv2.error:  # a size beyond OpenCV's bound
        raise problem from None
    if image is None or image.size == 0:
        raise problem
    if raw is not None and raw.ndim == 3 and raw.shape[2] == 4:
        upright = _upright(raw, image)
        if upright.shape[:2] == image.shape[:2]:
            return _on_white(image, upright)
    return np.ascontiguousarray(image, np.uint8)


def _upright(raw: NDArray[Any], image: Image) -> NDArray[Any]:
    """``raw`` [h, w, 4] turned and mirrored as ``image`` was by its EXIF: until colours agree.

    A picture of one colour agrees in several ways: the first of them is taken.
    """
    bytes_of = raw if raw.dtype == np.uint8 else raw >> 8 if raw.dtype == np.uint16 else None
    if bytes_of is None:  # halves and floats, of formats that turn nothing
        return raw
    for mirrored in (False, True):
        for quarters in range(4):
            turned, colours = (
                np.rot90(pixels[:, ::-1] if mirrored else pixels, quarters)
                for pixels in (raw, bytes_of[..., :3])
            )
            if np.array_equal(colours, image):
                return turned
    return raw


def _on_white(image: Image, raw: NDArray[Any]) -> Image:
    """What is transparent has some colour in the file, but nobody ever saw it."""
    most = np.iinfo(raw.dtype).max if raw.dtype.kind == "u" else 1.0
    alpha = raw[..., 3:].astype(np.float32) / most
    mixed: Image = np.rint(image * alpha + _WHITE * (1 - alpha)).astype(np.uint8)
    return mixed


class Picture(Source):
    kind = "picture"

    def __init__(self, path: Path) -> None:
        super().__init__(path.name, 1, None)
        self._path = path

    def __iter__(self) -> Iterator[FramePicture]:
        path = self._path
        yield FramePicture(read_picture(path), None, path.name, _ids([path])[0])


class Folder(Source):
    """The pictures directly in a folder, by name; the other files are skipped with a note."""

    kind = "folder"

    def __init__(self, folder: Path) -> None:
        pictures: list[Path] = []
        others: list[Path] = []
        self._damaged: list[str] = []
        self._unreadable: list[str] = []
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            try:
                (pictures if is_picture(path) else others).append(path)
            except OSError:
                self._unreadable.append(path.name)
        if not pictures:
            raise UsageError(
                f"the folder {folder} holds no picture",
                hint="Name a folder with JPEG, PNG, WebP, BMP or TIFF files directly in it.",
            )
        super().__init__(folder.name, len(pictures), None)
        self._paths = pictures
        self._note("no pictures", [path.name for path in others])

    def __iter__(self) -> Iterator[FramePicture]:
        read_any = False
        for path, number in zip(self._paths, _ids(self._paths), strict=True):
            try:
                image = read_picture(path)
            except UsageError:
                self._damaged.append(path.name)
                continue
            except OSError:
                self._unreadable.append(path.name)
                continue
            read_any = True
            yield FramePicture(image, None, path.name, number)
        self.close()
        if not read_any:
            raise UsageError(
                f"no picture in the folder {self.name} can be read: {'; '.join(self.notes)}",
                hint="Copy them again, and check that they open in an image viewer.",
            )

    def close(self) -> None:
        """Tell what was skipped so far."""
        for why, names in (("damaged", self._damaged), ("not readable", self._unreadable)):
            self._note(why, names)
            names.clear()

    def _note(self, why: str, names: Sequence[str]) -> None:
        if names:
            self.notes.append(f"skipped, {why}: {_enumerate(names)}")


def _ids(paths: Sequence[Path]) -> list[int]:
    """COCO calls image 785 ``000000000785.jpg``; anything else is counted from 0."""
    stems = [path.stem for path in paths]
    numbers = [int(stem) for stem in stems if stem.isdecimal()]
    return numbers if len(set(numbers)) == len(stems) else list(range(len(stems)))


def _enumerate(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
