"""The native runner's decoders as a program of their own, ``native_decode/decode.cpp``."""

import json
import platform
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edgepose.runners
from edgepose.files import folder_atomic, sha256_file
from edgepose.fingerprint import fingerprint, source_hash
from edgepose.places import user_cache
from edgepose.runners.plan import decoder_of
from edgepose.runners.toolchain import COMPILE, find_toolchain, run_tool
from edgepose.zoo import ModelSpec

Outputs = Sequence[NDArray[np.float32]]  # of one image, in the model's order
_SOURCE = Path(__file__).parent / "native_decode" / "decode.cpp"
_NATIVE = Path(edgepose.runners.__file__).parent / "native"
_AROUND = ("json", "json_text", "tensor", "files", "timing", "golden")
_LINK = ("-Wl,--gc-sections", "-s")


def native_decoder(arch: str = platform.machine()) -> Path:
    """The executable for ``arch``, built unless the cache has it. Raises ToolchainError."""
    toolchain = find_toolchain(arch)
    key = fingerprint(
        {
            "toolchain": [toolchain.name, arch, toolchain.version],
            "code": [source_hash("runners/native"), sha256_file(_SOURCE)],
            "flags": (*COMPILE, *toolchain.link, *_LINK),
        }
    )
    place = user_cache() / "native-decoder" / key
    if not place.is_dir():
        sources = [_SOURCE, *sorted((_NATIVE / "decode").glob("*.cpp"))]
        sources += [_NATIVE / f"{name}.cpp" for name in _AROUND]
        words = [*toolchain.compiler, *COMPILE, f"-I{_NATIVE}", *map(str, sources)]
        words += [*toolchain.link, *_LINK]
        with folder_atomic(place) as folder:
            run_tool([*words, "-o", str(folder / "decode")], "compiling the decoders", 600)
    return place / "decode"


def decode_natively(
    program: Sequence[str], model: ModelSpec, cases: Sequence[Outputs], runs: int = 1
) -> list[dict[str, Any]]:
    """What ``program`` finds in each case, and the ``ns`` of its ``runs`` passes.

    Raises subprocess.CalledProcessError, which quotes what it said, where it refuses them.
    """
    with tempfile.TemporaryDirectory() as scratch:
        files = [
            [_saved(Path(scratch) / f"{i}-{j}.npy", array) for j, array in enumerate(outputs)]
            for i, outputs in enumerate(cases)
        ]
        return _run(program, {"decoder": decoder_of(model), "cases": files, "runs": runs})


def suppress_natively(
    program: Sequence[str], poses: NDArray[np.float32], **settings: Any
) -> list[int]:
    """Indices of the poses [N, K, 3] that stay; ``scores``, ``areas``, ``sigmas`` and ``limit``."""
    with tempfile.TemporaryDirectory() as scratch:
        path = _saved(Path(scratch) / "poses.npy", poses)
        kept: list[int] = _run(program, {"poses": path, **settings})[0]["kept"]
        return kept


def _saved(path: Path, array: NDArray[np.float32]) -> str:
    np.save(path, np.ascontiguousarray(array, np.float32))
    return str(path)


def _run(program: Sequence[str], job: Mapping[str, Any]) -> list[dict[str, Any]]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(job, file)
        file.flush()
        words = [*program, file.name]
        done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=600)
    return [json.loads(line) for line in done.stdout.splitlines()]
