"""``python -m edgepose.runners.zig TRIPLE cc|c++ …``: zig as a C++ compiler that CMake understands.

zig takes the value of ``-march`` for the name of a CPU and builds ``armv8.2-a+fp16`` without
half-precision arithmetic, silently: its own spelling is ``-mcpu=generic+v8_2a+fullfp16``.
"""

import os
import re
import sys

_MARCH = re.compile(r"-march=armv(\d)(?:\.(\d))?-a(.*)")


def translated(argument: str) -> str:
    """``argument`` as zig wants it: only ``-march=armv…`` changes."""
    match = _MARCH.fullmatch(argument)
    if not match:
        return argument
    major, minor, extensions = match.groups()
    names = [name for name in extensions.split("+") if name]
    version = f"v{major}_{minor}a" if minor else f"v{major}a"
    features = ["fullfp16" if name == "fp16" else name for name in names]
    return "+".join(["-mcpu=generic", version, *features])


def main(words: list[str]) -> None:
    triple, command, *arguments = words
    zig = [sys.executable, "-m", "ziglang", command, "-target", triple]
    os.execv(sys.executable, [*zig, *map(translated, arguments)])


if __name__ == "__main__":
    main(sys.argv[1:])
