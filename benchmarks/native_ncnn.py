"""The bare C++ loop ``ncnn_loop/loop.cpp`` over the very library that the native runner holds."""

import platform
from dataclasses import dataclass
from pathlib import Path

from edgepose.errors import ToolchainError
from edgepose.files import folder_atomic, sha256_file
from edgepose.fingerprint import fingerprint
from edgepose.places import user_cache
from edgepose.runners.native_ncnn import library_key, ncnn_library
from edgepose.runners.toolchain import find_toolchain, require_cmake, run_tool

LOOP_SOURCE = Path(__file__).parent / "ncnn_loop" / "loop.cpp"
_FLAGS = ("-std=c++17", "-O3")


@dataclass(frozen=True)
class NativeNcnn:
    """``loop`` is the executable, ``compiler`` what built it and the library."""

    loop: Path
    compiler: str


def missing_tools() -> str:
    """What this machine lacks for the build, with the fix; empty where it lacks nothing."""
    try:
        require_cmake()
        find_toolchain(platform.machine())
    except ToolchainError as error:
        return f"{error}. {error.hint}"
    return ""


def native_ncnn() -> NativeNcnn:
    """Build what the cache lacks. Raises ToolchainError."""
    toolchain = find_toolchain(platform.machine())
    key = {"library": library_key(toolchain), "loop": sha256_file(LOOP_SOURCE), "flags": _FLAGS}
    place = user_cache() / "ncnn-loop" / fingerprint(key)
    if not place.is_dir():
        library = ncnn_library(toolchain)
        include = f"-I{library / 'include' / 'ncnn'}"
        words = [*toolchain.compiler, *_FLAGS, include, str(LOOP_SOURCE)]
        words += [str(library / "lib" / "libncnn.a"), *toolchain.link]
        with folder_atomic(place) as folder:
            run_tool([*words, "-o", str(folder / "loop")], "linking the bare loop", 600)
    return NativeNcnn(place / "loop", toolchain.version)
