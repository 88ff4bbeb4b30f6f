"""Execute one plan: prove the artifact or time it. Python 3.6-safe."""

import hashlib
import os
import platform
import time
from typing import Any, Dict, List, Optional

import numpy as np

from .backend_ncnn import NcnnBackend
from .backend_onnxruntime import OnnxruntimeBackend
from .backend_openvino import OpenvinoBackend
from .clock import perf_counter_ns
from .cores import pin_to
from .failure import BAD_PLAN, RunnerFailure
from .infer import infer_batch
from .outputs import save_output
from .plan import PROTOCOL
from .sensors import SensorProcess
from .tensor_drift import tensor_drift
from .warmup import has_converged

BACKENDS: Dict[str, Any] = {
    "onnxruntime": OnnxruntimeBackend,
    "ncnn": NcnnBackend,
    "openvino": OpenvinoBackend,
}
Plan = Dict[str, Any]
Result = Any  # whatever has write(kind, **fields)


def execute(plan: Plan, folder: str, result: Result) -> None:
    """Run ``plan`` and write its lines to ``result``; outputs of a proof go to ``folder``."""
    if plan["engine"] not in BACKENDS:
        raise RunnerFailure(BAD_PLAN, "this runner has no engine %r" % plan["engine"])
    cpus = pin_to(plan["cpus"])
    started_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    start = perf_counter_ns()
    backend = BACKENDS[plan["engine"]](
        plan["artifact"], plan["options"], plan["inputs"], plan["outputs"], plan["threads"]
    )
    load_ms = (perf_counter_ns() - start) / 1e6
    result.write(
        "header",
        protocol=PROTOCOL,
        run_id=plan["run_id"],
        pid=os.getpid(),
        boot_id=_boot_id(),
        started_at=started_at,
        runner="python",
        versions=dict(backend.versions, python=platform.python_version(), numpy=np.__version__),
        cpus=cpus,
        threads=plan["threads"],
        load_ms=load_ms,
        computed_in=getattr(backend, "computed_in", None),
    )
    if plan["mode"] == "prove":
        _prove(plan, folder, backend, result)
    elif plan["mode"] == "profile":
        _profile(plan, folder, backend, result)
    elif plan["mode"] == "infer":
        infer_batch(plan, folder, backend, result)
    else:
        _time_with_sensors(plan, folder, backend, result, cpus)
    result.write("memory", peak_rss_mib=_peak_rss_mib())


def _prove(plan: Plan, folder: str, backend: Any, result: Result) -> None:
    for case in plan["golden"]:
        backend.bind(_load(case["inputs"]))
        outputs = _worst_outputs(backend, plan.get("repeats", 1))
        for name, path in sorted(case["outputs"].items()):
            saved = save_output(folder, case["name"], name, outputs[name])
            drift = tensor_drift(np.load(path), outputs[name])
            result.write("proof", case=case["name"], **dict(saved, **drift))
    result.write("estimate", ns=_loop(backend, plan["runs"]))


def _worst_outputs(backend: Any, repeats: int) -> Dict[str, Any]:
    """Of ``repeats`` inferences the first that gives NaN or Inf, else the last."""
    outputs: Dict[str, Any] = {}
    for _ in range(max(repeats, 1)):
        backend.infer()
        outputs = backend.outputs()
        if not all(np.isfinite(array).all() for array in outputs.values()):
            break
    return outputs


def _profile(plan: Plan, folder: str, backend: Any, result: Result) -> None:
    if not hasattr(backend, "profile"):
        raise RunnerFailure(BAD_PLAN, "the Python runner cannot profile %s" % plan["engine"])
    backend.bind(_load(plan["golden"][0]["inputs"]))
    for layer in backend.profile(folder, plan["warmup_min"], plan["runs"]):
        result.write("layer", **layer)


def _time_with_sensors(
    plan: Plan, folder: str, backend: Any, result: Result, cpus: Optional[List[int]]
) -> None:
    sensors = None
    if plan["sensor_period_s"]:
        sensors = SensorProcess(folder, plan["sensor_period_s"], cpus or [])
    try:
        _time(plan, backend, result)
    finally:
        for reading in sensors.stop() if sensors else []:
            result.write("sensor", **reading)


def _time(plan: Plan, backend: Any, result: Result) -> None:
    backend.bind(_load(plan["golden"][0]["inputs"]))
    backend.infer()
    first = _hash_outputs(backend)
    warmup = _loop(backend, plan["warmup_min"])
    converged = has_converged(warmup) if plan["warmup_max"] > plan["warmup_min"] else None
    while converged is False and len(warmup) < plan["warmup_max"]:
        warmup += _loop(backend, min(10, plan["warmup_max"] - len(warmup)))
        converged = has_converged(warmup)
    result.write("warmup", ns=warmup, converged=converged)

    cpu_s, start = time.process_time(), perf_counter_ns()
    samples = _loop(backend, plan["runs"])
    wall_ns, cpu_ns = perf_counter_ns() - start, int((time.process_time() - cpu_s) * 1e9)
    result.write("samples", ns=samples, wall_ns=wall_ns, cpu_ns=cpu_ns)
    last = _hash_outputs(backend)
    result.write("outputs", sha256=last, same_as_first=first == last)


def _loop(backend: Any, count: int) -> List[int]:
    """Latencies of ``count`` inferences in ns: two clock reads around each and nothing else."""
    infer, clock, latencies = backend.infer, perf_counter_ns, [0] * count
    for index in range(count):
        begin = clock()
        infer()
        latencies[index] = clock() - begin
    return latencies


def _load(paths: Dict[str, str]) -> Dict[str, Any]:
    return {name: np.load(path) for name, path in paths.items()}


def _hash_outputs(backend: Any) -> Dict[str, str]:
    return {
        name: hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
        for name, array in sorted(backend.outputs().items())
    }


def _peak_rss_mib() -> Optional[float]:
    """Not getrusage: its figure starts with the peak of the process that started us."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) / 1024.0 for line in file if line[:6] == "VmHWM:")
    except (OSError, StopIteration):
        return None


def _boot_id() -> Optional[str]:
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return None
