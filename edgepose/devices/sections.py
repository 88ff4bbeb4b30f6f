"""Many readings in one remote command: a script prints ``@@name`` lines, we cut there."""

import re

# `show NAME COMMAND…` prints a section; a command that fails leaves it empty.
PRELUDE = """
show() { printf '\\n@@%s\\n' "$1"; shift; "$@" 2>/dev/null; }
have() { command -v "$1" >/dev/null 2>&1; }
"""


def split_sections(text: str) -> dict[str, str]:
    """Section name → its text without surrounding blank lines."""
    parts = re.split(r"(?m)^@@(\S+)\n?", text)
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def integer(text: str | None) -> int | None:
    """The whole number that ``text`` is; None where it is none."""
    try:
        return int((text or "").strip(), 0)
    except ValueError:
        return None


def number(text: str | None) -> float | None:
    """The number that ``text`` is; None where it is none."""
    try:
        return float((text or "").strip())
    except ValueError:
        return None
