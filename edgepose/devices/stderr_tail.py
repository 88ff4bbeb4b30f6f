"""The last words of a program: read all the time, for nobody may wait on a full pipe."""

import threading
from collections.abc import Callable

_KEPT = 4096


class StderrTail:
    """Drains a stream in a thread of its own until it ends."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self._kept = b""
        self._thread = threading.Thread(target=self._drain, name="stderr", daemon=True)
        self._thread.start()

    @property
    def text(self) -> str:
        return self._kept.decode(errors="replace").strip()

    def wait(self, timeout_s: float) -> None:
        """Until the stream ended."""
        self._thread.join(timeout_s)

    def _drain(self) -> None:
        try:
            while chunk := self._read():
                self._kept = (self._kept + chunk)[-_KEPT:]
        except (OSError, ValueError):  # closed in the middle of reading
            return
