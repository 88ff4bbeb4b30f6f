"""The native runner against ncnn's own benchmark loop in C++, each in fresh processes."""

import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.native_ncnn import NativeNcnn
from benchmarks.patience import Patience
from edgepose.bundle import Bundle, make_plan
from edgepose.runners.result import read_result

RUNNER, LOOP = "native runner", "bare C++ loop"
_RUNNER_WARMUP, _LOOP_WARMUP = 50, 8  # the paper profile's, and benchncnn's
_WORST_RELATIVE_ERROR = 1e-3  # of the native outputs: is it the same net on the same input?


def native_blocks(
    bundle: Bundle,
    native: NativeNcnn,
    rounds: int,
    loops: int,
    *,
    scratch: Path,
    patience: Patience,
) -> dict[str, list[list[int]]]:
    """All latencies in ns: per way to run the net, one process in each of ``rounds``.

    The order within a round is random. Raises RuntimeError where the loop's outputs are not the
    bundle's golden ones.
    """
    ways: dict[str, Callable[[], list[int]]] = {
        RUNNER: lambda: _runner(bundle, loops, scratch),
        LOOP: lambda: _loop(bundle, native.loop, loops, scratch),
    }
    found: dict[str, list[list[int]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in random.sample(list(ways), len(ways)):
            patience.wait()
            found[way].append(ways[way]())
    return found


def medians(processes: list[list[int]]) -> list[float]:
    return [median(latencies) for latencies in processes]


def _runner(bundle: Bundle, loops: int, scratch: Path) -> list[int]:
    """One process of the bundle's own runner."""
    paths = {name: str(bundle.folder / name) for name in bundle.manifest.files}
    settings = {"warmup_min": _RUNNER_WARMUP, "warmup_max": _RUNNER_WARMUP, "runs": loops}
    plan = make_plan(bundle.manifest, "time", "native-loop", paths, **settings)
    (scratch / "plan.json").write_bytes(plan.encode())
    subprocess.run([paths[bundle.manifest.runner], str(scratch)], check=True)
    result = read_result((scratch / "result.jsonl").read_bytes(), plan.run_id)
    samples: list[int] = result.one("samples")["ns"]
    return samples


def _loop(bundle: Bundle, loop: Path, loops: int, scratch: Path) -> list[int]:
    """One process of the C++ loop with the bundle's net, options and first golden input."""
    manifest = bundle.manifest
    case = bundle.golden()[0]
    [given] = case.inputs.values()
    _, channels, height, width = given.shape
    given.astype("<f4").tofile(scratch / "input.f32")
    words = [str(loop), *(str(bundle.folder / name) for name in manifest.artifact.files)]
    words += [str(scratch / "input.f32"), str(width), str(height), str(channels), "1"]
    words += [str(_LOOP_WARMUP), str(loops), str(scratch / "outputs.f32")]
    options = {name: on for name, on in manifest.artifact.options.items() if name != "blobs"}
    words += [f"{name}={int(on)}" for name, on in options.items()]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    _check(np.fromfile(scratch / "outputs.f32", "<f4"), list(case.outputs.values()))
    return [int(line) for line in done.stdout.split()]


def _check(found: np.ndarray, golden: list[np.ndarray]) -> None:
    wanted = np.concatenate([output.ravel() for output in golden])
    if found.shape != wanted.shape:
        raise RuntimeError(f"the loop has {found.size} values, not {wanted.size}")
    error = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
    if not error <= _WORST_RELATIVE_ERROR:
        raise RuntimeError(f"the loop's outputs are off by {error:.2g}: another net?")
