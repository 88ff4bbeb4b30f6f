"""Load and run an ONNX file with onnxruntime on the CPU. Python 3.6-safe."""

from typing import Any, Dict, List

from .failure import LOAD_FAILED, RUNTIME_MISSING, RunnerFailure

_LEVELS = {"all": 99, "extended": 2, "basic": 1, "disabled": 0}


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
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.inter_op_num_threads = 1
        settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel(
            _LEVELS[options.get("graph_optimization", "all")]
        )
        settings.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                artifact["model.onnx"], settings, providers=["CPUExecutionProvider"]
            )
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
