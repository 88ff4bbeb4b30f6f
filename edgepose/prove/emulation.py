"""A board's programs on this host, under qemu: what they compute, never how fast."""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from edgepose.errors import ToolchainError
from edgepose.runners.toolchain import run_tool

_EMULATORS = ("qemu-aarch64-static", "qemu-aarch64")
_COMPILER = "aarch64-linux-gnu-g++"
_DEBIANS = Path("/usr/aarch64-linux-gnu")  # where Debian's cross compilers keep their libraries
_NEEDED = ("ld-linux-aarch64.so.1", "libc.so.6", "libstdc++.so.6", "libgcc_s.so.1")
_PACKAGES = "`apt install qemu-user-static g++-aarch64-linux-gnu`"
_ANY_CPU = "max"
_QUESTION_S = 60.0


def find_emulator() -> str | None:
    """The program that runs arm64 executables here, if there is one."""
    return next(filter(None, map(shutil.which, _EMULATORS)), None)


class Emulation(NamedTuple):
    """What stands before the executable in a command, and the CPU that it then runs on."""

    command: tuple[str, ...]
    cpu: str


def emulate_dynamic(cpu: str | None) -> Emulation:
    """How to run an arm64 executable that needs shared libraries.

    ``cpu`` is LLVM's name; what the emulator does not know becomes a CPU that can do all.
    Raises ToolchainError that names the packages to install.
    """
    emulator = find_emulator()
    if emulator is None:
        raise ToolchainError(
            "without an emulator this host cannot run what was compiled for an arm64 board",
            hint=f"Install it and the libraries it needs: {_PACKAGES}.",
        )
    name = cpu if cpu and cpu in _known_cpus(emulator) else _ANY_CPU
    return Emulation((emulator, "-cpu", name, "-L", str(find_sysroot())), name)


def _known_cpus(emulator: str) -> list[str]:
    words = [emulator, "-cpu", "help"]  # which ends with an error, though it answers
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=_QUESTION_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolchainError(
            f"the emulator {emulator} does not work: {error}", hint=f"Install it: {_PACKAGES}."
        ) from None
    return done.stdout.split()


def find_sysroot() -> Path:
    """A folder whose ``lib`` holds arm64's C and C++ libraries. Raises ToolchainError."""
    for root in (_compilers_root(), _DEBIANS):
        if root and all((root / "lib" / name).exists() for name in _NEEDED):
            return root
    raise ToolchainError(
        "this host lacks arm64's C and C++ libraries, which the emulated program needs",
        hint=f"Install them: {_PACKAGES}.",
    )


def _compilers_root() -> Path | None:
    """Where the cross compiler, if there is one, takes its C library from."""
    compiler = shutil.which(_COMPILER)
    if not compiler:
        return None
    words = [compiler, "-print-file-name=libc.so.6"]
    try:
        found = run_tool(words, "asking the compiler for its libraries", _QUESTION_S)
    except ToolchainError:
        return None
    return Path(found.strip()).resolve().parent.parent
