"""The package that reads and writes videos, which is an extra."""

from typing import Any

from edgepose.errors import ToolchainError


def pyav() -> Any:
    """The module ``av``, quiet. Raises ToolchainError where it is not installed."""
    try:
        import av
        import av.logging
    except ImportError:
        raise ToolchainError(
            "videos need the package av (PyAV), which this host lacks",
            hint="Install it with `pip install 'edgepose[video]'`.",
        ) from None
    av.logging.set_level(av.logging.PANIC)  # what it would print, we count and tell at the end
    return av
