"""Live pictures through OpenCV: cameras of this machine and network streams."""

import re
import threading
import time
from collections.abc import Iterator

import cv2

from edgepose.deadline import Deadline
from edgepose.errors import UsageError
from edgepose.frames.source import FramePicture, Image, Source

_PATIENCE_S = 10.0
_CREDENTIALS = re.compile("//[^/]*@")  # of a URL: not to be shown; passwords may hold an @


class Camera(Source):
    """Gives the newest frame only: what came while the last one was worked on is dropped.

    Else a net slower than the camera would show an ever older past. A thread reads all along.
    """

    kind = "camera"

    def __init__(self, where: int | str) -> None:
        name = f"camera {where}" if isinstance(where, int) else _CREDENTIALS.sub("//", where)
        super().__init__(name, None, None)
        self._capture = cv2.VideoCapture(where)
        if not self._capture.isOpened():
            raise UsageError(
                f"{self.name} cannot be opened",
                hint="See which there are with `ls /dev/video*`, and that no program uses it.",
            )
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 1 <= rate <= 1000 else None
        self._news = threading.Condition()
        self._newest: tuple[Image, float] | None = None
        self._ended = False
        self._reader = threading.Thread(target=self._read, name="camera", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while not self._ended:
            good, image = self._capture.read()
            with self._news:
                if good:
                    self._newest = (image, time.monotonic())
                else:
                    self._ended = True
                self._news.notify()

    def __iter__(self) -> Iterator[FramePicture]:
        begun_s, number = None, 0
        while True:
            deadline = Deadline.after(_PATIENCE_S)
            with self._news:
                while self._newest is None and not self._ended and not deadline.expired:
                    self._news.wait(deadline.remaining_s)
                newest, self._newest = self._newest, None
            if newest is None:
                self.notes.append("the stream ended" if self._ended else "no frame came any more")
                return
            image, time_s = newest
            begun_s = time_s if begun_s is None else begun_s
            yield FramePicture(image, time_s - begun_s, str(number), number)
            number += 1

    def close(self) -> None:
        self._ended = True
        self._reader.join(_PATIENCE_S)
        if not self._reader.is_alive():  # OpenCV crashes where it is released while it reads
            self._capture.release()
