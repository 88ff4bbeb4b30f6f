"""One line on stderr that tells how far a run is."""

import sys
import time
from collections.abc import Callable
from typing import Self

_BAR = 20
_TERMINAL_S, _LOG_S = 0.1, 5.0  # how often it is written


class LiveLine:
    """Rewritten in a terminal and gone at the end; elsewhere a line now and then."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._every_s = _TERMINAL_S if self._terminal else _LOG_S
        self._next_s = time.monotonic() + self._every_s
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown and self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def show(
        self, text: Callable[[], str], done: float | None = None, *, always: bool = False
    ) -> None:
        """Write ``text`` if it is time to, or ``always``.

        ``done`` is the share of the work that is done, None where no end is in sight.
        """
        if self._quiet or (time.monotonic() < self._next_s and not always):
            return
        self._next_s = time.monotonic() + self._every_s
        self._shown = True
        if self._terminal:
            print(f"\r\x1b[K{_bar(done)}{text()}", end="", file=sys.stderr, flush=True)
        else:
            print(text(), file=sys.stderr, flush=True)


def _bar(done: float | None) -> str:
    if done is None:
        return ""
    full = round(_BAR * min(1.0, done))
    return f"{'━' * full}{' ' * (_BAR - full)} "
