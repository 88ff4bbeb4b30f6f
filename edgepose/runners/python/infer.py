"""Inferences on inputs that the host sent, many in one file. Python 3.6-safe."""

from typing import Any, Dict, List

import numpy as np

from .clock import perf_counter_ns
from .failure import BAD_PLAN, RunnerFailure
from .outputs import save_output


def infer_batch(plan: Dict[str, Any], folder: str, backend: Any, result: Any) -> None:
    """One inference per input of ``plan["batch"]``; outputs go to ``folder``, as the inputs came.

    All that one file holds is in memory at once: the host chooses how much that is.
    """
    batch = _load_batch(plan)
    count = len(next(iter(batch.values())))
    found: Dict[str, List[Any]] = {output["name"]: [] for output in plan["outputs"]}
    latencies = []
    for index in range(count):
        backend.bind({name: array[index] for name, array in batch.items()})
        begin = perf_counter_ns()
        backend.infer()
        latencies.append(perf_counter_ns() - begin)
        for name, array in backend.outputs().items():
            # A copy: a runtime may use the same memory for its next outputs.
            found[name].append(np.array(array, dtype=np.float32))
    for name, arrays in sorted(found.items()):
        result.write("inferred", **save_output(folder, "batch", name, np.stack(arrays)))
    result.write("inferences", ns=latencies)


def _load_batch(plan: Dict[str, Any]) -> Dict[str, Any]:
    """Array [N, shape of the tensor…] by name of the input."""
    shapes = {spec["name"]: tuple(spec["shape"]) for spec in plan["inputs"]}
    if set(plan["batch"]) != set(shapes):
        given, wanted = sorted(plan["batch"]), sorted(shapes)
        raise RunnerFailure(BAD_PLAN, "the batch has inputs %r, the model %r" % (given, wanted))
    arrays = {name: np.load(path) for name, path in plan["batch"].items()}
    for name, array in arrays.items():
        if array.shape[1:] != shapes[name] or not len(array):
            raise RunnerFailure(
                BAD_PLAN,
                "the batch of %r has the shape %r, not N times %r"
                % (name, array.shape, shapes[name]),
            )
    if len({len(array) for array in arrays.values()}) > 1:
        raise RunnerFailure(BAD_PLAN, "the files of the batch hold different numbers of inputs")
    return arrays
