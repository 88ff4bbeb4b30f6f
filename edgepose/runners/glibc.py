"""Which C library an executable or shared library needs on the device."""

import re
from collections.abc import Iterable
from pathlib import Path

from edgepose.errors import ToolchainError

Version = tuple[int, int]

_NEEDED = re.compile(rb"\0GLIBC_(\d+)\.(\d+)(?=[.\0])")
_PRESENT = re.compile(r"glibc (\d+)\.(\d+)(\.\d+)?")


def needed_glibc(contents: Iterable[bytes]) -> Version:
    """The lowest version of glibc under which all of these ELF files start; (0, 0) for any.

    Read from the names of the symbols' versions, which every such file lists.
    """
    found = (match.groups() for content in contents for match in _NEEDED.finditer(content))
    return max(((int(major), int(minor)) for major, minor in found), default=(0, 0))


def require_glibc(program: Path, libc: str) -> None:
    """Raise ToolchainError where ``program`` would not start on a device with ``libc``.

    That is as targets and devices say it, ``glibc 2.27``; anything else is not judged.
    """
    match = _PRESENT.fullmatch(libc)
    needed = needed_glibc([program.read_bytes()])
    if match and needed > (int(match[1]), int(match[2])):
        raise ToolchainError(
            f"the {program.name} that this host's compiler makes needs glibc "
            f"{needed[0]}.{needed[1]}, the device has {libc}",
            hint="`pip install ziglang`: what that compiles starts with glibc 2.17 and newer.",
        )
