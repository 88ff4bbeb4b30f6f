"""Find a C++ compiler for a device's CPU: a user's Android NDK, Debian's, or zig from PyPI."""

import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from edgepose.errors import ToolchainError

# How the native runners are compiled: small, and what is not called can be left out.
COMPILE = ("-std=c++17", "-Os", "-Wall", "-Wextra", "-ffunction-sections", "-fdata-sections")
_GNU_PREFIX = {"aarch64": "aarch64-linux-gnu-", "x86_64": "x86_64-linux-gnu-"}
_ANDROID_API = "24"
_ZIG = "edgepose.runners.zig"
_OLDEST_GLIBC = "2.17"  # older than any system with a 64-bit ARM


@dataclass(frozen=True)
class Toolchain:
    """A C++ compiler that makes executables for ``arch``.

    ``cmake`` are the arguments that make CMake use it (none where CMake plays no part), ``link``
    those of the last step.
    """

    name: str
    arch: str
    version: str
    compiler: tuple[str, ...]
    cmake: tuple[str, ...]
    link: tuple[str, ...]


def find_toolchain(arch: str) -> Toolchain:
    """The best one here for executables that need no library on the device.

    ``arch`` is ``aarch64`` or ``x86_64``. Raises ToolchainError that says what to install.
    """
    return _first((_ndk, _gnu, _zig), arch)


def find_dynamic_toolchain(arch: str) -> Toolchain:
    """The best one here for executables that open shared libraries, as only dynamic ones can.

    They need the device's glibc: 2.17 or newer from zig, about this host's own from Debian's
    compilers. Raises ToolchainError as above.
    """
    return _first((_zig_dynamic, _gnu_dynamic), arch)


def _first(finders: Iterable[Callable[[str], Toolchain | None]], arch: str) -> Toolchain:
    for find in finders:
        found = find(arch)
        if found:
            return found
    package = "g++" if arch == platform.machine() else f"g++-{arch.replace('_', '-')}-linux-gnu"
    raise ToolchainError(
        f"this host has no C++ compiler for {arch}",
        hint=f"Install one: `apt install {package}`, or `pip install ziglang`.",
    )


def require_cmake() -> None:
    """Raises ToolchainError unless CMake and a build tool are here."""
    missing = [tool for tool in ("cmake", "ninja") if not shutil.which(tool)]
    if missing:
        raise ToolchainError(
            f"this host lacks {' and '.join(missing)}, which building ncnn's runner needs",
            hint="Install it: `apt install cmake ninja-build`, or `pip install cmake ninja`.",
        )


def run_tool(words: list[str], doing: str, timeout_s: float) -> str:
    """Run a build step; returns its output. Raises ToolchainError with the end of its output."""
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise ToolchainError(f"{doing} was stopped after {timeout_s:.0f} s") from None
    except OSError as error:
        raise ToolchainError(f"{doing}: {words[0]} does not start: {error.strerror}") from None
    if done.returncode:
        said = (done.stdout + done.stderr).strip()[-1500:]
        raise ToolchainError(f"{doing} failed: `{shlex.join(words[:3])} …` said\n{said}")
    return done.stdout


def _gnu_compiler(arch: str) -> str | None:
    found = shutil.which(f"{_GNU_PREFIX[arch]}g++")
    return found or (shutil.which("g++") if arch == platform.machine() else None)


def _gnu_dynamic(arch: str) -> Toolchain | None:
    found = _gnu_compiler(arch)
    if not found:
        return None
    # The device's libstdc++ may be older than this compiler's.
    link = ("-static-libstdc++", "-static-libgcc", "-ldl", "-pthread")
    return Toolchain("gnu", arch, _version([found]), (found,), (), link)


def _gnu(arch: str) -> Toolchain | None:
    prefix, found = _GNU_PREFIX[arch], _gnu_compiler(arch)
    if not found or not shutil.which(f"{prefix}gcc"):
        return None
    cmake = (
        "-DCMAKE_SYSTEM_NAME=Linux",
        f"-DCMAKE_SYSTEM_PROCESSOR={arch}",
        f"-DCMAKE_C_COMPILER={prefix}gcc",
        f"-DCMAKE_CXX_COMPILER={found}",
        "-DNCNN_OPENMP=ON",
        "-DNCNN_SIMPLEOMP=OFF",
    )
    # Optimised as one, the files of a program are smaller by 30 KiB.
    link = ("-static", "-fopenmp", "-flto")
    return Toolchain("gnu", arch, _version([found]), (found,), cmake, link)


def _ndk(arch: str) -> Toolchain | None:
    """The NDK makes executables for Android alone: only for ``aarch64``, only where asked for."""
    root = os.environ.get("ANDROID_NDK_HOME")
    if not root or arch != "aarch64":
        return None
    compilers = sorted(
        Path(root).glob(
            f"toolchains/llvm/prebuilt/*/bin/{arch}-linux-android{_ANDROID_API}-clang++"
        )
    )
    if not compilers:
        raise ToolchainError(
            f"ANDROID_NDK_HOME is {root}, which holds no compiler for {arch}",
            hint="Set it to the NDK's folder (it has `toolchains/` in it), or unset it.",
        )
    compiler = str(compilers[-1])
    cmake = (
        f"-DCMAKE_TOOLCHAIN_FILE={root}/build/cmake/android.toolchain.cmake",
        "-DANDROID_ABI=arm64-v8a",
        f"-DANDROID_PLATFORM=android-{_ANDROID_API}",
        "-DNCNN_OPENMP=ON",
        "-DNCNN_SIMPLEOMP=OFF",
    )
    link = ("-static-libstdc++", "-fopenmp", "-static-openmp")
    return Toolchain("ndk", arch, _version([compiler]), (compiler,), cmake, link)


def _zig_dynamic(arch: str) -> Toolchain | None:
    if find_spec("ziglang") is None:
        return None
    compiler = (sys.executable, "-m", _ZIG, f"{arch}-linux-gnu.{_OLDEST_GLIBC}", "c++")
    return Toolchain("zig", arch, _zig_version(), compiler, (), ("-ldl", "-pthread"))


def _zig(arch: str) -> Toolchain | None:
    if find_spec("ziglang") is None:
        return None
    target = f"{arch}-linux-musl"
    zig = f"{shlex.quote(sys.executable)} -m ziglang"
    # A host without a compiler of its own has no `ar` either.
    rules = {
        f"CMAKE_{language}_ARCHIVE_{step}": f"{zig} {command}"
        for language in ("C", "CXX")
        for step, command in (
            ("CREATE", "ar qc <TARGET> <LINK_FLAGS> <OBJECTS>"),
            ("FINISH", "ranlib <TARGET>"),
        )
    }
    cmake = [
        "-DCMAKE_SYSTEM_NAME=Linux",
        f"-DCMAKE_SYSTEM_PROCESSOR={arch}",
        # Lists: the program, and the arguments that always come first.
        f"-DCMAKE_C_COMPILER={sys.executable};-m;{_ZIG};{target};cc",
        f"-DCMAKE_CXX_COMPILER={sys.executable};-m;{_ZIG};{target};c++",
        *(f"-D{name}={rule}" for name, rule in rules.items()),
        # CMake's own questions to the compiler are libraries: without the rules, all fail.
        "-DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY",
        f"-DCMAKE_TRY_COMPILE_PLATFORM_VARIABLES={';'.join(rules)}",
    ]
    # zig has no OpenMP library; ncnn brings a small one of its own.
    cmake += ["-DNCNN_OPENMP=ON", "-DNCNN_SIMPLEOMP=ON"]
    compiler = (sys.executable, "-m", _ZIG, target, "c++")
    return Toolchain("zig", arch, _zig_version(), compiler, tuple(cmake), ("-static",))


def _zig_version() -> str:
    return "zig " + _version([sys.executable, "-m", "ziglang", "version"], argument=None)


def _version(words: list[str], argument: str | None = "--version") -> str:
    words = [*words, argument] if argument else words
    return run_tool(words, f"asking {words[0]} for its version", 60).splitlines()[0]
