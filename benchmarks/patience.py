"""Wait for the machine to be idle before a block, as long as there is patience left."""

import time
from pathlib import Path

_LOOK_S = 0.2
_BUSY = 0.1  # of all processors' time


class Patience:
    """At most ``budget_s`` seconds of waiting in all. No block is left out for its result."""

    def __init__(self, budget_s: float) -> None:
        self.left_s = budget_s
        self.waits = self.gave_up = 0

    def wait(self) -> None:
        """Return when nothing else runs, or when the patience is at its end."""
        self.waits += 1
        while _busy_share() > _BUSY:
            self.left_s -= _LOOK_S
            if self.left_s <= 0:
                self.gave_up += 1
                return

    def __str__(self) -> str:
        return f"{self.gave_up} of {self.waits} blocks began while the machine was busy"


def _busy_share() -> float:
    busy, total = _ticks()
    time.sleep(_LOOK_S)
    busy_later, total_later = _ticks()
    return (busy_later - busy) / max(1, total_later - total)


def _ticks() -> tuple[int, int]:
    """Busy and all ticks of all processors since the start (see proc(5))."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    ticks = [int(word) for word in words]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)
