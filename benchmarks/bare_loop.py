"""The runner's timing loop against a bare loop over the very same session, in one process."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean, median
from time import perf_counter_ns
from typing import Any

import numpy as np

from benchmarks.patience import Patience
from edgepose.bundle import Bundle, make_plan
from edgepose.runners.python.run import BACKENDS, _loop

_WARMUP = 50
_BLOCK_S = 0.4  # long enough that one hiccup is not most of a block


@dataclass
class BareBlocks:
    """One entry a pair, in ns per inference: of the runner's loop, and of the bare one."""

    runner_median: list[float] = field(default_factory=list)
    runner_mean: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)


def bare_blocks(bundle: Bundle, pairs: int, patience: Patience) -> BareBlocks:
    """Both loops by turns, in random order within each of the ``pairs``."""
    backend = _backend(bundle)
    call = _BARE_CALLS[bundle.manifest.recipe.engine](backend)
    runs = max(10, round(_BLOCK_S * 1e9 / median(_loop(backend, _WARMUP))))
    blocks = BareBlocks()

    def time_runner() -> None:
        latencies = _loop(backend, runs)
        blocks.runner_median.append(median(latencies))
        blocks.runner_mean.append(fmean(latencies))

    def time_bare() -> None:
        start = perf_counter_ns()
        for _ in range(runs):
            call()
        blocks.bare.append((perf_counter_ns() - start) / runs)

    for _ in range(pairs):
        patience.wait()
        call()  # caches went cold meanwhile
        for time_block in random.sample((time_runner, time_bare), 2):
            time_block()
    return blocks


def _backend(bundle: Bundle) -> Any:
    """The runner's backend, loaded and bound as the runner does it, on one thread."""
    manifest = bundle.manifest
    paths = {name: str(bundle.folder / name) for name in manifest.files}
    plan = make_plan(manifest, "time", "bare-loop", paths)
    shapes = [
        [{"name": tensor.name, "shape": tensor.shape} for tensor in tensors]
        for tensors in (plan.inputs, plan.outputs)
    ]
    backend = BACKENDS[plan.engine](plan.artifact, plan.options, *shapes, plan.threads)
    backend.bind({name: np.load(path) for name, path in plan.golden[0].inputs.items()})
    return backend


def _bare_onnxruntime(backend: Any) -> Callable[[], Any]:
    session, names, feed = backend._session, backend._names, backend._feed
    return lambda: session.run(names, feed)


def _bare_ncnn(backend: Any) -> Callable[[], None]:
    [(blob, mat)] = backend._mats.items()
    outputs = [backend._blob_of[output["name"]] for output in backend._outputs]

    def call() -> None:
        # Through the backend, lest the net outlive the backend's allocators: ncnn would crash.
        extractor = backend._net.create_extractor()
        extractor.input(blob, mat)
        for output in outputs:
            extractor.extract(output)

    return call


_BARE_CALLS = {"onnxruntime": _bare_onnxruntime, "ncnn": _bare_ncnn}
