"""Build ncnn from its pinned source and the native runner on it, once per compiler.

Two steps, each kept in the user's cache under a hash of all that it depends on: the library (some
minutes) and the runner (seconds).
"""

import logging
import os
import tarfile
import tempfile
from pathlib import Path

from edgepose.download import download
from edgepose.errors import ToolchainError
from edgepose.files import folder_atomic
from edgepose.fingerprint import fingerprint, source_hash
from edgepose.places import user_cache
from edgepose.runners.toolchain import COMPILE, Toolchain, find_toolchain, require_cmake, run_tool

VERSION = "1.0.20261020"
SOURCE_SHA256 = "ad8cdd63e9755cfa8e23b9b6d9ce46156077d80298a89e7c3ba325ffccfca200"
# The file itself: asked for by name, pip rejects it, because it takes today for its version.
SOURCE_URL = (
    "https://files.pythonhosted.org/packages/b7/50/"
    "32b5172afe7d3e0dce410b7d8f4a5b7b84b942a0d69affbaedf669de52bc/ncnn-1.0.20261020.tar.gz"
)
# What no net of images needs: detectors' own layers, volumes, sequences (1-D convolutions alone are
# 80 KiB), audio, 8-bit integers, and what pnnx makes of no ONNX operator.
LEFT_OUT_LAYERS = (
    *("RNN", "LSTM", "GRU", "Embed", "RotaryEmbed", "Spectrogram", "InverseSpectrogram"),
    *("Proposal", "PriorBox", "DetectionOutput", "YoloDetectionOutput", "Yolov3DetectionOutput"),
    *("PSROIPooling", "ROIPooling", "ROIAlign", "DeformableConv2D", "SPP"),
    *("Convolution3D", "ConvolutionDepthWise3D", "Pooling3D", "Deconvolution3D"),
    *("DeconvolutionDepthWise3D", "Deconvolution1D", "DeconvolutionDepthWise1D"),
    *("Convolution1D", "ConvolutionDepthWise1D", "CumulativeSum", "Fold", "Unfold"),
    *("LRN", "MVN", "BNLL", "StatisticsPooling", "Quantize", "Dequantize", "Requantize"),
    *("GLU", "Diag", "CopyTo"),
)
_FLAGS = (
    "-DCMAKE_BUILD_TYPE=Release",
    f"-DNCNN_VERSION={VERSION.rpartition('.')[2]}",
    "-DNCNN_RUNTIME_CPU=ON",
    "-DCMAKE_CXX_FLAGS=-ffunction-sections -fdata-sections",  # what is not called is left out
    *(
        f"-DNCNN_{name}=OFF"
        for name in (
            *("VULKAN", "SHARED_LIB", "PYTHON", "C_API", "INT8", "BF16", "WEIGHT_QUANT", "BATCH"),
            *("BUILD_TOOLS", "BUILD_EXAMPLES", "BUILD_BENCHMARK", "BUILD_TESTS"),
            *("PIXEL", "PIXEL_ROTATE", "PIXEL_AFFINE", "PIXEL_DRAWING"),
            # Kernels of integers, bfloat16 and scalable vectors: no recipe uses them.
            *("ARM82DOT", "ARM82FP16FML", "ARM84BF16", "ARM84I8MM", "ARM86SVE"),
            *("AVXVNNI", "AVX512VNNI", "AVX512BF16", "AVX512FP16", "AVXNECONVERT"),
        )
    ),
    *(f"-DWITH_LAYER_{name.lower()}=OFF" for name in LEFT_OUT_LAYERS),
)
_LINK = ("-Wl,--gc-sections", "-Wl,-z,norelro", "-s")  # relro would pad it by a page of 64 KiB
_RUNNER = "runner"
_BUILD_S = 3600.0
_RUNNERS = Path(__file__).parent
_log = logging.getLogger(__name__)


def ncnn_runner(arch: str) -> Path:
    """The executable that runs ncnn bundles on ``arch``, built unless the cache has it.

    Raises ToolchainError, and DownloadError where the source cannot be fetched.
    """
    toolchain = find_toolchain(arch)
    place = _runner_place(toolchain)
    if not (place / _RUNNER).is_file():
        library = ncnn_library(toolchain)
        _log.info("compiling the ncnn runner for %s", arch)
        sources = sorted(
            [*(_RUNNERS / "ncnn").glob("*.cpp"), *(_RUNNERS / "native").rglob("*.cpp")]
        )
        with folder_atomic(place) as folder:
            words = [*toolchain.compiler, *COMPILE, f"-I{library / 'include'}"]
            objects = [*map(str, sources), str(library / "lib" / "libncnn.a")]
            flags = [*toolchain.link, *_LINK]
            target = str(folder / _RUNNER)
            run_tool([*words, *objects, *flags, "-o", target], "linking the runner", _BUILD_S)
    return place / _RUNNER


def built_ncnn_runner(toolchain: Toolchain) -> Path | None:
    """What ``ncnn_runner`` would return, if it needed to build nothing for that."""
    path = _runner_place(toolchain) / _RUNNER
    return path if path.is_file() else None


def _runner_place(toolchain: Toolchain) -> Path:
    key = fingerprint(
        {
            "library": library_key(toolchain),
            "code": source_hash("runners/ncnn", "runners/native"),
            "flags": (*COMPILE, *toolchain.link, *_LINK),
        }
    )
    return user_cache() / "ncnn-runner" / key


def ncnn_library(toolchain: Toolchain) -> Path:
    """A folder with ``include`` and ``lib/libncnn.a``, built unless the cache has it."""
    place = user_cache() / "ncnn-library" / library_key(toolchain)
    if not place.is_dir():
        require_cmake()
        _log.info("building ncnn %s for %s, once, some minutes", VERSION, toolchain.arch)
        with folder_atomic(place) as folder:
            _build(toolchain, folder)
    return place


def library_key(toolchain: Toolchain) -> str:
    """Names the library that ``toolchain`` makes of the pinned source with our flags."""
    return fingerprint(
        {
            "source": SOURCE_SHA256,
            "flags": _FLAGS,
            "toolchain": [toolchain.name, toolchain.arch, toolchain.version, *toolchain.cmake],
        }
    )


def _build(toolchain: Toolchain, into: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="edgepose-ncnn-") as scratch:
        source, build = _unpack(Path(scratch)), f"{scratch}/build"
        install = [f"-DCMAKE_INSTALL_PREFIX={into}", "-DCMAKE_INSTALL_LIBDIR=lib"]
        words = ["cmake", "-G", "Ninja", "-S", str(source), "-B", build]
        run_tool([*words, *toolchain.cmake, *_FLAGS, *install], "configuring ncnn", _BUILD_S)
        jobs = str(len(os.sched_getaffinity(0)))
        run_tool(["cmake", "--build", build, "--parallel", jobs], "compiling ncnn", _BUILD_S)
        run_tool(["cmake", "--install", build], "installing ncnn", _BUILD_S)
    check_half_precision((into / "include" / "ncnn" / "platform.h").read_text(), toolchain)


def check_half_precision(platform_header: str, toolchain: Toolchain) -> None:
    """Raise ToolchainError where an arm64 library came out without ARMv8.2's FP16 arithmetic.

    CMake leaves it out without a word where a compiler rejects the flag, or seems to.
    """
    if toolchain.arch == "aarch64" and "#define NCNN_ARM82 1" not in platform_header:
        raise ToolchainError(
            f"{toolchain.version} built ncnn without half-precision arithmetic (ARMv8.2)",
            hint="Use a newer compiler: `apt install g++-aarch64-linux-gnu`.",
        )


def _unpack(scratch: Path) -> Path:
    archive = user_cache() / "sources" / f"ncnn-{VERSION}.tar.gz"
    download(SOURCE_URL, archive, SOURCE_SHA256)
    with tarfile.open(archive) as file:
        file.extractall(scratch, filter="data")
    return scratch / f"ncnn-{VERSION}"
