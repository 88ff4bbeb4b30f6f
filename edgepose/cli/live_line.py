"""One line on stderr that tells how far a run is."""

import sys
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from edgepose.cli.run_summary import Tally

_BAR = 20
_TERMINAL_S, _LOG_S = 0.1, 5.0  # how often it is written
_NAMED = 3  # the stages that take most


class LiveLine:
    """Rewritten in a terminal; elsewhere a line now and then. ``count`` None: no end in sight."""

    def __init__(self, count: int | None, *, quiet: bool) -> None:
        self._count, self._quiet = count, quiet
        self._terminal = sys.stderr.isatty()
        self._every_s = _TERMINAL_S if self._terminal else _LOG_S
        self._next_s = time.monotonic() + self._every_s
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown and self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def show(self, tally: "Tally") -> None:
        if self._quiet or time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + self._every_s
        self._shown = True
        text = progress_text(tally, self._count)
        if self._terminal:
            bar = _bar(tally.frames / self._count) if self._count else ""
            print(f"\r\x1b[K{bar}{text}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)


def progress_text(tally: "Tally", count: int | None) -> str:
    """Frames, frames per second, and the stages that take the largest shares."""
    total_ms = sum(tally.stages_ms.values()) or 1.0
    largest = sorted(tally.stages_ms.items(), key=lambda item: -item[1])[:_NAMED]
    shares = ", ".join(f"{stage} {ms / total_ms:.0%}" for stage, ms in largest)
    of = f"/{count}" if count else ""
    return f"frame {tally.frames}{of}  {tally.fps:.1f} fps  ({shares})"


def _bar(done: float) -> str:
    full = round(_BAR * min(1.0, done))
    return f"{'━' * full}{' ' * (_BAR - full)} "
