"""Where results go: `open_sink` knows a video from pictures and COCO results by the file's name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from edgepose.errors import UsageError
from edgepose.frames.source import FramePicture, Image, Source
from edgepose.pose.people import Person

PICTURES = (".png", ".jpg", ".jpeg", ".webp")


class Sink(Protocol):
    """Takes one frame after the other; what was taken is whole on disk after ``close``.

    Until then it lies under a temporary name beside ``path``, from the first frame on. ``draws``
    tells that it wants the drawn picture.
    """

    path: Path
    draws: bool

    def take(self, frame: FramePicture, people: Sequence[Person], drawn: Image | None) -> None: ...

    def close(self) -> None: ...


def open_sink(text: str, source: Source) -> Sink:
    """A sink for the frames of ``source``: ``.mp4``, ``.json``, a picture's name or a folder.

    Raises UsageError for another kind, and for one that does not fit the source.
    """
    from edgepose.frames.coco_json import CocoJson
    from edgepose.frames.picture_sinks import OnePicture, PictureFolder
    from edgepose.frames.video_sink import VideoFile

    path = Path(text)
    suffix = path.suffix.lower()
    if path.is_dir() or text.endswith("/") or not suffix:
        if path.exists() and not path.is_dir():
            raise UsageError(f"{text} is a file, so it is no folder for pictures")
        return PictureFolder(path)
    if suffix == ".json":
        return CocoJson(path)
    if suffix == ".mp4":
        if source.kind in ("picture", "folder"):
            raise UsageError(
                f"{text} is a video, and {source.name} is not",
                hint="Save pictures as a .png, or into a folder.",
            )
        return VideoFile(path, source.rate)
    if suffix in PICTURES:
        if source.kind != "picture":
            raise UsageError(
                f"{text} is one picture, but {source.name} has many",
                hint=f"Name a folder, such as {path.with_suffix('')}.",
            )
        return OnePicture(path)
    raise UsageError(
        f"nothing can be saved as {suffix!r}: {text}",
        hint=f"Use .mp4, .json, {', '.join(PICTURES)}, or a folder.",
    )
