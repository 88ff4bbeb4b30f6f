"""Load and run an ONNX file with onnxruntime on the CPU. Python 3.6-safe."""

import json
import os
from typing import Any, Dict, List

from .failure import LOAD_FAILED, RUNTIME_MISSING, RunnerFailure

_LEVELS = {"all": 99, "extended": 2, "basic": 1, "disabled": 0}
_KERNEL = "_kernel_time"
_BATCH = "batch"  # the free first dimension of a model that takes any number of images at once


class OnnxruntimeBackend:
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
            import onnxruntime
        except ImportError as error:
            raise RunnerFailure(
                RUNTIME_MISSING, "onnxruntime cannot be imported: %s" % error
            ) from None
        self._onnxruntime = onnxruntime
        self._path = artifact["model.onnx"]
        self._threads = threads
        self._batch = (inputs[0]["shape"] or [None])[0]  # None: any
        self._level = _LEVELS[options.get("graph_optimization", "all")]
        try:
            self._session = self._load(self._settings())
        except Exception as error:  # noqa: BLE001 - the runtime raises many private types
            raise RunnerFailure(LOAD_FAILED, "onnxruntime refuses the model: %s" % error) from None
        self._names = [output["name"] for output in outputs]
        self._feed: Dict[str, Any] = {}
        self._results: List[Any] = []
        self.versions = {"onnxruntime": onnxruntime.__version__}

    def bind(self, inputs: Dict[str, Any]) -> None:
        self._feed = dict(inputs)

    def infer(self) -> None:
        self._results = self._session.run(self._names, self._feed)

    def outputs(self) -> Dict[str, Any]:
        return dict(zip(self._names, self._results))  # noqa: B905 - strict= needs Python 3.10

    def profile(self, folder: str, warmup: int, runs: int) -> List[Dict[str, Any]]:
        """Name, type and latencies of every node, by the runtime's own profiler (whole µs)."""
        settings = self._settings()
        settings.enable_profiling = True
        settings.profile_file_prefix = os.path.join(folder, "onnxruntime")
        session = self._load(settings)
        for _ in range(warmup + runs):
            session.run(self._names, self._feed)
        path = session.end_profiling()
        with open(path) as file:
            events = json.load(file)
        os.remove(path)
        return layers_of(events, warmup)

    def _settings(self) -> Any:
        settings = self._onnxruntime.SessionOptions()
        settings.intra_op_num_threads = self._threads
        settings.inter_op_num_threads = 1
        settings.execution_mode = self._onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        settings.graph_optimization_level = self._onnxruntime.GraphOptimizationLevel(self._level)
        settings.log_severity_level = 3
        if self._batch is not None:
            settings.add_free_dimension_override_by_name(_BATCH, self._batch)
        return settings

    def _load(self, settings: Any) -> Any:
        return self._onnxruntime.InferenceSession(
            self._path, settings, providers=["CPUExecutionProvider"]
        )


def layers_of(events: List[Dict[str, Any]], warmup: int) -> List[Dict[str, Any]]:
    """The nodes in their order, without their first ``warmup`` latencies."""
    found: Dict[Any, Dict[str, Any]] = {}
    for event in events:
        name = event.get("name", "")
        if event.get("cat") != "Node" or not name.endswith(_KERNEL):
            continue
        details = event["args"]
        key = (details.get("node_index"), name)
        layer = {"name": name[: -len(_KERNEL)], "type": details.get("op_name", ""), "ns": []}
        found.setdefault(key, layer)["ns"].append(int(event["dur"] * 1000))
    for layer in found.values():
        del layer["ns"][:warmup]
    return list(found.values())
