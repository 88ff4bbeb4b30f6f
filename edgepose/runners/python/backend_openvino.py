"""Load and run an ONNX file with OpenVINO on the CPU. Python 3.6-safe."""

import sys
from typing import Any, Dict, List

import numpy as np

from .failure import INFERENCE_FAILED, LOAD_FAILED, RUNTIME_MISSING, RunnerFailure

_HINTS = {"fp32": "f32", "bf16": "bf16"}
_NOT_COMPUTED = ("Parameter", "Constant", "Result", "Input", "Output")


class OpenvinoBackend:
    """``bind`` inputs once, ``infer`` as often as wanted, read ``outputs`` after it."""

    def __init__(
        self,
        artifact: Dict[str, str],
        options: Dict[str, Any],
        inputs: List[Dict[str, Any]],
        outputs: List[Dict[str, Any]],
        threads: int,
    ) -> None:
        try:
            self._openvino = openvino = import_openvino()
        except ImportError as error:
            raise RunnerFailure(
                RUNTIME_MISSING, "openvino cannot be imported: %s" % error
            ) from None
        self._names = [output["name"] for output in outputs]
        try:
            self._core = openvino.Core()
            self._settings = _settings(self._core, options["precision"], threads)
            self._path = artifact["model.onnx"]
            self._compiled = self._core.compile_model(self._path, "CPU", self._settings)
            self._request = self._compiled.create_infer_request()
            for name in self._names:
                self._request.get_tensor(name)
        except Exception as error:  # noqa: BLE001 - the runtime says no more than RuntimeError
            raise RunnerFailure(
                LOAD_FAILED, "openvino refuses the model: %s" % one_line(error)
            ) from None
        self._tensors: Dict[str, Any] = {}
        self.versions = {"openvino": openvino.__version__.split("-")[0]}

    @property
    def computed_in(self) -> str:
        """``bf16`` where any layer of the compiled model is, else ``fp32``."""
        nodes = self._compiled.get_runtime_model().get_ordered_ops()
        found = {str(node.get_rt_info()["runtimePrecision"].astype(str)) for node in nodes}
        return "bf16" if "bf16" in found else "fp32"

    def bind(self, inputs: Dict[str, Any]) -> None:
        self._tensors = _bound(self._openvino, self._request, inputs)

    def infer(self) -> None:
        self._request.infer(share_outputs=True)

    def outputs(self) -> Dict[str, Any]:
        # Copies: the next inference writes into the same memory.
        return {name: np.array(self._request.get_tensor(name).data) for name in self._names}

    def profile(self, folder: str, warmup: int, runs: int) -> List[Dict[str, Any]]:
        """Name, type and latency of every layer, the mean of all ``runs`` (see PROTOCOL.md)."""
        settings = dict(self._settings, PERF_COUNT=True)
        request = self._core.compile_model(self._path, "CPU", settings).create_infer_request()
        bound = _bound(
            self._openvino, request, {name: each.data for name, each in self._tensors.items()}
        )
        for _ in range(warmup):
            request.infer(share_outputs=True)
        before = request.profiling_info if warmup else []
        for _ in range(runs):
            request.infer(share_outputs=True)
        after = request.profiling_info
        del bound
        return layers_of(before, warmup, after, runs)


def import_openvino() -> Any:
    """OpenVINO without its telemetry, which reports every import to its makers.

    It counts as not installed; where this process has imported it before, that was not us.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def one_line(error: Exception) -> str:
    """The runtime's messages are many lines, with places in its source files between them."""
    return " ".join(str(error).split())


def layers_of(before: Any, warmup: int, after: Any, runs: int) -> List[Dict[str, Any]]:
    """The executed layers in their order, each with the mean latency of its last ``runs``.

    The runtime tells means over all inferences since it compiled, in whole µs: ``before`` after
    ``warmup`` of them, ``after`` at the end.
    """
    first = {info.node_name: _us(info) for info in before}
    layers = []
    for info in after:
        if info.status != info.Status.EXECUTED or info.node_type in _NOT_COMPUTED:
            continue
        total = _us(info) * (warmup + runs) - first.get(info.node_name, 0.0) * warmup
        layers.append(
            {
                "name": info.node_name,
                "type": "%s %s" % (info.node_type, info.exec_type),
                "ns": [max(0, int(total * 1000 / runs))],
            }
        )
    return layers


def _settings(core: Any, precision: str, threads: int) -> Dict[str, Any]:
    """One inference at a time, on ``threads`` threads of whatever cores the process is on."""
    # On AVX-512 without them, OpenVINO emulates bf16 and takes twice as long as in FP32.
    has_instructions = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,  # the runner has chosen the cores
        "ENABLE_HYPER_THREADING": False,
        "INFERENCE_PRECISION_HINT": _HINTS[precision if has_instructions else "fp32"],
    }


def _bound(openvino: Any, request: Any, inputs: Dict[str, Any]) -> Dict[str, Any]:
    """Tensors that share the arrays' memory, set in ``request``."""
    tensors = {}
    for name, array in inputs.items():
        usable = np.require(array, np.float32, ["C", "W"])
        tensors[name] = openvino.Tensor(usable, shared_memory=True)
        try:
            request.set_tensor(name, tensors[name])
        except RuntimeError as error:
            raise RunnerFailure(
                INFERENCE_FAILED, "openvino refuses input %r: %s" % (name, one_line(error))
            ) from None
    return tensors


def _us(info: Any) -> float:
    return float(info.real_time.total_seconds() * 1e6)
