"""A window for `--show`, where OpenCV was built with one."""

import os
import sys
from typing import Self

import cv2

from edgepose.errors import ToolchainError, UsageError
from edgepose.frames.source import Image

_TITLE = "edgepose"
_QUIT_KEYS = (ord("q"), 27)
_ALTERNATIVE = "use --save, or `edgepose serve` for a page in the browser"


class Window:
    """``closed`` once q or Esc was pressed, or it was closed."""

    def __init__(self) -> None:
        self.closed = False

    def show(self, image: Image) -> None:
        cv2.imshow(_TITLE, image)
        pressed = cv2.waitKey(1) & 0xFF
        gone = cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) < 1
        self.closed = pressed in _QUIT_KEYS or gone

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        cv2.destroyAllWindows()


def open_window() -> Window:
    """Raises ToolchainError for an OpenCV without windows, UsageError without a display."""
    if not has_windows(cv2.getBuildInformation()):
        raise ToolchainError(
            "this OpenCV cannot open windows: it is the headless one",
            hint=f"Install opencv-python instead of opencv-python-headless; or {_ALTERNATIVE}.",
        )
    # OpenCV's Qt ends the whole process where it finds no display.
    if sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise UsageError("there is no display for a window", hint=f"{_ALTERNATIVE.capitalize()}.")
    cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL)
    return Window()


def has_windows(build_information: str) -> bool:
    """Whether OpenCV's report names a GUI."""
    for line in build_information.splitlines():
        name, _, value = line.strip().partition(":")
        if name == "GUI":
            return value.strip() != "NONE"
    return False
