"""Videos from files, through PyAV: every frame with its own time, upright."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgepose.errors import UsageError
from edgepose.frames.packages import pyav
from edgepose.frames.source import FramePicture, Image, Source

_ASSUMED_RATE = 25.0  # of a file that does not say
# No playlists, which name other files: whoever sends one should not choose what is read here.
_FORMATS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,gif,apng,mjpeg,h264,hevc,ivf"
_MATROSKA = "matroska,webm"  # it tells when a film ends, others how long it lasts
_LATE_S = 0.2  # files are inexact about their length


class Video(Source):
    """Damaged frames are skipped and counted; a file that breaks off gives what comes before."""

    kind = "video"

    def __init__(self, path: Path) -> None:
        super().__init__(path.name, None, None)
        self._av = pyav()
        try:
            # FFmpeg takes a relative name with a colon for a URL.
            name, options = str(path.absolute()), {"format_whitelist": _FORMATS}
            self._container = self._av.open(name, options=options)
        except (self._av.error.FFmpegError, ValueError) as error:
            raise _unreadable(path, _reason(error)) from None
        if not self._container.streams.video:
            self._container.close()
            raise _unreadable(path, "it has no moving picture")
        self._stream = self._container.streams.video[0]
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.rate = float(rate) if rate else None
        self._duration_s = self._length_s()
        self.count = self._stream.frames or None
        self._to_its_end = self._container.format.name == _MATROSKA
        if not self.count and self._duration_s and self.rate:
            start_s = (self._container.start_time or 0) / 1e6 if self._to_its_end else 0.0
            self.count = round((self._duration_s - start_s) * self.rate)
        self._broken = 0

    def _length_s(self) -> float | None:
        """How long the file says that the moving picture lasts; of Matroska, when it ends."""
        if self._stream.duration:
            return float(self._stream.duration * self._stream.time_base)
        # The container's is that of its longest stream: maybe the sound's.
        alone = len(self._container.streams) == 1
        return self._container.duration / 1e6 if alone and self._container.duration else None

    def close(self) -> None:
        self._note_broken()
        self._container.close()

    def __iter__(self) -> Iterator[FramePicture]:
        step_s = 1 / (self.rate or _ASSUMED_RATE)
        first_s, last_s, shown_s, number = None, -step_s, step_s, 0
        for frame in self._frames():
            time_s = frame.time if frame.time is not None else (first_s or 0.0) + last_s + step_s
            first_s = time_s if first_s is None else first_s
            # Some files repeat a time or jump back; time must go on for whoever follows people.
            last_s = time_s - first_s if time_s - first_s > last_s else last_s + step_s
            length = getattr(frame, "duration", 0)  # PyAV tells it from 14.4 on
            shown_s = float(length * frame.time_base) if length else step_s
            yield FramePicture(_upright(frame), last_s, str(number), number)
            number += 1
        self._note_broken()
        if number == 0:
            raise UsageError(
                f"{self.name}: no frame of this video can be decoded", hint="Record it again."
            )
        end_s = last_s + max(shown_s, step_s)
        length_s = (self._duration_s or 0.0) - ((first_s or 0.0) if self._to_its_end else 0.0)
        if end_s + 2 * step_s + _LATE_S < length_s:
            self.notes.append(f"the file breaks off after {end_s:.1f} of {length_s:.1f} s")

    def _frames(self) -> Iterator[Any]:
        """Every frame that can be decoded."""
        for packet in self._packets():
            try:
                frames = self._stream.decode(packet)
            except self._av.error.FFmpegError:
                self._broken += 1
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self._broken += 1
                else:
                    yield frame

    def _packets(self) -> Iterator[Any]:
        """Every packet; the end's lets the decoder give what it holds back."""
        try:
            yield from self._container.demux(self._stream)
        except self._av.error.FFmpegError:  # it breaks off
            yield None

    def _note_broken(self) -> None:
        if self._broken:
            self.notes.append(f"damaged frames that were skipped: {self._broken}")
        self._broken = 0


def _upright(frame: Any) -> Image:
    """uint8 BGR, turned as the file asks players to (phones film in landscape)."""
    image: Image = frame.to_ndarray(format="bgr24")
    turns = round(frame.rotation / 90) % 4  # anticlockwise
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _reason(error: Exception) -> str:
    """FFmpeg's general word, and what its parser said of this file."""
    general, log = getattr(error, "strerror", None) or str(error), getattr(error, "log", None)
    return f"{general} ({log[2].strip()})" if log else general


def _unreadable(path: Path, reason: str) -> UsageError:
    return UsageError(
        f"{path} is neither a picture nor a video that can be read: {reason}",
        hint="Open it in a player; a recording that was cut off lacks its index.",
    )
