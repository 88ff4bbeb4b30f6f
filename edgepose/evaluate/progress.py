"""How far an evaluation is, and how long the rest takes. Pure but for the clock."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from edgepose.deadline import duration_text


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` images, ``known`` of which were known from before."""

    done: int
    total: int
    known: int
    elapsed_s: float

    @property
    def images_per_s(self) -> float | None:
        new = self.done - self.known
        return new / self.elapsed_s if new and self.elapsed_s > 0 else None

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest takes at this rate; None before the first image."""
        rate = self.images_per_s
        return (self.total - self.done) / rate if rate else None

    def __str__(self) -> str:
        text = f"{self.done} of {self.total} images"
        if self.known:
            text += f" ({self.known} known already)"
        if self.images_per_s is None or self.left_s is None:
            return text
        rate = self.images_per_s
        left = f", {duration_text(self.left_s)} left" if self.done < self.total else ""
        return f"{text}, {rate:.{0 if rate >= 100 else 1}f} images/s{left}"


class Watch:
    """Counts images and tells ``listener`` after each, and once at the start."""

    def __init__(self, total: int, known: int, listener: Callable[[Progress], None] | None) -> None:
        self._total, self._known, self._listener = total, known, listener
        self._done, self._begun_s = known, time.monotonic()
        self._tell()

    def one_more(self) -> None:
        self._done += 1
        self._tell()

    def _tell(self) -> None:
        if self._listener:
            elapsed_s = time.monotonic() - self._begun_s
            self._listener(Progress(self._done, self._total, self._known, elapsed_s))
