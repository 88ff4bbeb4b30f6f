"""ncnn built from its own source on this machine: a C++ library and a Python module of it.

The library is what ``ncnn_loop/loop.cpp`` links to. The module lets the Python runner use exactly
that library, so that a comparison of the two shows the harness and not the compiler. Built once,
about 13 CPU minutes, and kept in the user's cache.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgepose.files import folder_atomic, sha256_file
from edgepose.fingerprint import fingerprint
from edgepose.places import user_cache

VERSION = "1.0.20261020"
SHA256 = "ad8cdd63e9755cfa8e23b9b6d9ce46156077d80298a89e7c3ba325ffccfca200"
# By address: asked for by name, pip rejects it, because it takes today for its version.
URL = (
    "https://files.pythonhosted.org/packages/b7/50/"
    "32b5172afe7d3e0dce410b7d8f4a5b7b84b942a0d69affbaedf669de52bc/ncnn-1.0.20261020.tar.gz"
)
# As the wheel's setup.py, but for Vulkan, which no CPU kernel uses.
FLAGS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DNCNN_OPENMP=ON",
    "-DNCNN_RUNTIME_CPU=ON",
    "-DNCNN_PYTHON=ON",
    "-DNCNN_VULKAN=OFF",
    "-DNCNN_DISABLE_RTTI=OFF",
    "-DNCNN_DISABLE_EXCEPTION=OFF",
    "-DNCNN_BUILD_BENCHMARK=OFF",
    "-DNCNN_BUILD_EXAMPLES=OFF",
    "-DNCNN_BUILD_TOOLS=OFF",
    f"-DNCNN_VERSION={VERSION.rpartition('.')[2]}",
)
LOOP_SOURCE = Path(__file__).parent / "ncnn_loop" / "loop.cpp"


@dataclass(frozen=True)
class NativeNcnn:
    """``loop``: the executable; ``python``: a folder for PYTHONPATH with the module ``ncnn``."""

    loop: Path
    python: Path
    compiler: str


def missing_tools() -> str:
    """What this machine lacks for the build, with the fix; empty where it lacks nothing."""
    problems = []
    for tool, package in (("cmake", "cmake"), ("g++", "g++"), ("make", "make")):
        if not shutil.which(tool):
            problems.append(f"{tool} (apt install {package})")
    headers = Path(sysconfig.get_path("include"), "Python.h")
    if not headers.is_file():
        problems.append(f"{headers} (apt install python3-dev)")
    return ", ".join(problems)


def native_ncnn() -> NativeNcnn:
    """Build what the cache lacks. Needs the package index on the first call.

    Raises RuntimeError where a download or a build step fails, with the end of its output.
    """
    compiler = _run(["g++", "--version"]).splitlines()[0]
    key = fingerprint(
        {"source": SHA256, "flags": FLAGS, "compiler": compiler, "python": sys.version}
    )
    place = user_cache() / "native-ncnn" / key
    if not place.is_dir():
        with folder_atomic(place) as folder:
            _build(folder)
    return NativeNcnn(_link(place), place / "python", compiler)


def _build(place: Path) -> None:
    """Leave ``include``, ``lib/libncnn.a`` and ``python/ncnn`` in ``place``."""
    with tempfile.TemporaryDirectory() as scratch:
        source, build = _source(Path(scratch)), Path(scratch) / "build"
        print(f"building ncnn {VERSION} from source, once ...", file=sys.stderr)
        python = [f"-D{name}_EXECUTABLE={sys.executable}" for name in ("Python", "Python3")]
        words = ["cmake", "-S", str(source), "-B", str(build), "-DCMAKE_CXX_COMPILER=g++"]
        prefix = [f"-DCMAKE_INSTALL_PREFIX={place}", "-DCMAKE_INSTALL_LIBDIR=lib"]
        _run([*words, *FLAGS, *python, *prefix])
        _run(["cmake", "--build", str(build), "--parallel", str(os.cpu_count())])
        _run(["cmake", "--install", str(build)])
        shutil.copytree(source / "python" / "ncnn", place / "python" / "ncnn")
        for module in (build / "python" / "ncnn").glob("*.so"):
            shutil.copy(module, place / "python" / "ncnn")


def _source(scratch: Path) -> Path:
    """Fetch the source archive, check its hash and unpack it."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    _run([*pip, "--dest", str(scratch), f"{URL}#sha256={SHA256}"])
    archive = scratch / f"ncnn-{VERSION}.tar.gz"
    if sha256_file(archive) != SHA256:
        raise RuntimeError(f"{archive.name} is not the pinned file")
    with tarfile.open(archive) as file:
        file.extractall(scratch, filter="data")
    return scratch / f"ncnn-{VERSION}"


def _link(place: Path) -> Path:
    """Compile the loop against the library, unless this very source was compiled before."""
    loop = place / f"loop-{sha256_file(LOOP_SOURCE)[:12]}"
    if not loop.is_file():
        unfinished = loop.with_suffix(".new")
        include, library = place / "include" / "ncnn", place / "lib" / "libncnn.a"
        words = ["g++", "-std=c++17", "-O3", "-fopenmp", f"-I{include}", str(LOOP_SOURCE)]
        _run([*words, str(library), "-o", str(unfinished)])
        unfinished.replace(loop)
    return loop


def _run(words: list[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        said = (done.stdout + done.stderr).strip()[-2000:]
        raise RuntimeError(f"`{' '.join(words[:4])} ...` failed:\n{said}")
    return done.stdout
