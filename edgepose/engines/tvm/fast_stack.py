"""A cheap ``inspect.stack`` for TVM's imports.

TVM asks for the whole stack once per tensor intrinsic, and Python reads every frame's source file
for the answer: a minute of CPU time. Nobody looks at the source lines.
"""

import inspect
import sys


def install() -> None:
    """Replace ``inspect.stack`` in this process. Also an initialiser for TVM's worker pools."""
    inspect.stack = _stack


def _stack(context: int = 1) -> list[inspect.FrameInfo]:
    frames = []
    frame = sys._getframe(1)
    while frame:
        code = frame.f_code
        frames.append(
            inspect.FrameInfo(frame, code.co_filename, frame.f_lineno, code.co_name, None, None)
        )
        frame = frame.f_back  # type: ignore[assignment]
    return frames
