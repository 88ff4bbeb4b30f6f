"""The native programs on TVM's runtime, and that runtime's two libraries, per CPU.

Kept in the user's cache under a hash of all that they depend on.
"""

import logging
import platform
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from edgepose.download import alone_in, download
from edgepose.errors import ToolchainError
from edgepose.files import folder_atomic
from edgepose.fingerprint import fingerprint, package_version, source_hash
from edgepose.places import user_cache
from edgepose.runners.toolchain import COMPILE, find_dynamic_toolchain, run_tool

TVM_VERSION = "0.27.0.post1"
FFI_VERSION = "0.1.14.post1"
FFI_LIBRARY, RUNTIME_LIBRARY = "libtvm_ffi.so", "libtvm_runtime.so"
_INSTALL = f"`pip install apache-tvm=={TVM_VERSION} apache-tvm-ffi=={FFI_VERSION}`"


class _Source(NamedTuple):
    """Where a library lies in its package, and the package as a wheel for another CPU."""

    package: str
    version: str
    path: str
    url: str
    sha256: str


# One build of the libraries serves every system with glibc 2.27 or newer.
_SOURCES = {
    FFI_LIBRARY: _Source(
        "apache-tvm-ffi",
        FFI_VERSION,
        f"tvm_ffi/lib/{FFI_LIBRARY}",
        "https://files.pythonhosted.org/packages/72/54/"
        "1406ce7356192c15757baac651c4331ff9c4b3eed9a0af108b642d08a700/"
        "apache_tvm_ffi-0.1.14.post1-cp311-cp311-manylinux_2_24_aarch64.manylinux_2_28_aarch64.whl",
        "c7a759781d4fbf2b99fa12f2741f250b882b06acc2747bb02831d491d1ac7d3c",
    ),
    RUNTIME_LIBRARY: _Source(
        "apache-tvm",
        TVM_VERSION,
        f"tvm/lib/{RUNTIME_LIBRARY}",
        "https://files.pythonhosted.org/packages/0f/8f/"
        "b3440c6b7b2fe0bc214d3686a388a661a197eb729c3f362d1b66cbf18b4b/"
        "apache_tvm-0.27.0.post1-py3-none-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl",
        "4acfdb7653e4e1ba7a707bdf2833db72eb8fda7d04d99141f2a4e1da43171fb7",
    ),
}
_WHEELS_ARCH = "aarch64"
_PROGRAMS = {
    "runner": ("main.cpp", "backend.cpp", "cuda_backend.cpp", "cuda_driver.cpp"),
    "server": ("server.cpp",),
}
_SHARED = ("api.cpp", "ffi.cpp")
_LINK = ("-Wl,--gc-sections", "-s")
_BUILD_S = 600.0
_RUNNERS = Path(__file__).parent
_log = logging.getLogger(__name__)


def tvm_runner(arch: str) -> Path:
    """The executable that runs TVM's bundles on ``arch``, built unless the cache has it.

    Raises ToolchainError where a compiler or TVM's headers are missing.
    """
    return _program("runner", arch)


def tvm_server(arch: str) -> Path:
    """The executable that measures candidates on a board of ``arch``. Raises as above."""
    return _program("server", arch)


def tvm_runtime(arch: str) -> dict[str, Path]:
    """The libraries that both need on the device: name → path of the file.

    This host's own come from the installed packages, others from the same versions' wheels, once.
    Raises ToolchainError for another version or CPU, DownloadError where a wheel cannot be had.
    """
    if arch == platform.machine():
        return {name: _installed(source) for name, source in _SOURCES.items()}
    if arch != _WHEELS_ARCH:
        raise ToolchainError(
            f"there is no TVM runtime for {arch} on a host of {platform.machine()}",
            hint=f"Build on a host of {arch}.",
        )
    cache = user_cache() / "tvm-runtime"
    place = cache / fingerprint({"sources": _SOURCES})
    cache.mkdir(parents=True, exist_ok=True)
    with alone_in(cache):
        if not place.is_dir():
            _log.info("fetching TVM's runtime for %s, once", arch)
            with folder_atomic(place) as folder:
                for name, source in _SOURCES.items():
                    (folder / name).write_bytes(_from_wheel(source))
    return {name: place / name for name in _SOURCES}


def _program(name: str, arch: str) -> Path:
    toolchain = find_dynamic_toolchain(arch)
    parts = (*_PROGRAMS[name], *_SHARED)
    defined = f'-DEDGEPOSE_TVM_VERSION="{TVM_VERSION}"'
    key = fingerprint(
        {
            "toolchain": [toolchain.name, arch, toolchain.version],
            "code": source_hash("runners/tvm", "runners/native"),
            "interface": FFI_VERSION,
            "flags": (*parts, defined, *COMPILE, *toolchain.link, *_LINK),
        }
    )
    place = user_cache() / "tvm-programs" / key
    if not (place / name).is_file():
        headers = _headers()
        _log.info("compiling the TVM %s for %s", name, arch)
        sources = [*(_RUNNERS / "tvm" / part for part in parts)]
        sources += sorted((_RUNNERS / "native").rglob("*.cpp"))
        with folder_atomic(place) as folder:
            words = [*toolchain.compiler, *COMPILE, defined, "-isystem", str(headers)]
            flags = [*toolchain.link, *_LINK, "-o", str(folder / name)]
            run_tool([*words, *map(str, sources), *flags], f"compiling the {name}", _BUILD_S)
    return place / name


def _headers() -> Path:
    """The include folder of tvm-ffi: the interface is the same on every CPU."""
    _check_version("apache-tvm-ffi", FFI_VERSION)
    return _package_folder("tvm_ffi") / "include"


def _installed(source: _Source) -> Path:
    _check_version(source.package, source.version)
    package, _, inside = source.path.partition("/")
    return _package_folder(package) / inside


def _check_version(package: str, wanted: str) -> None:
    found = package_version(package)
    if found != wanted:
        raise ToolchainError(
            f"{package} is {found or 'not installed'}, {wanted} is needed",
            hint=f"Install it: {_INSTALL}.",
        )


def _package_folder(name: str) -> Path:
    """Where a package lies, without importing it."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ToolchainError(f"{name} cannot be found", hint=f"Install it: {_INSTALL}.")
    return Path(spec.origin).parent


def _from_wheel(source: _Source) -> bytes:
    """The library out of its package's wheel, which is not kept: it is 30 times as large."""
    wheel = user_cache() / "sources" / source.url.rpartition("/")[2]
    download(source.url, wheel, source.sha256)
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(source.path)
    wheel.unlink()
    return content
