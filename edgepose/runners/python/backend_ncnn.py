"""Load and run an ncnn param/bin pair on the CPU. Python 3.6-safe."""

from typing import Any, Dict, List

import numpy as np

from .failure import INFERENCE_FAILED, LOAD_FAILED, RUNTIME_MISSING, RunnerFailure

_OPTIONS = (
    "packing_layout",
    "fp16_packed",
    "fp16_storage",
    "fp16_arithmetic",
    "bf16_storage",
    "winograd_convolution",
    "sgemm_convolution",
)


class NcnnBackend:
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
            import ncnn
        except ImportError as error:
            raise RunnerFailure(RUNTIME_MISSING, "ncnn cannot be imported: %s" % error) from None
        self._ncnn = ncnn
        self._net = net = ncnn.Net()
        net.opt.use_vulkan_compute = False
        net.opt.num_threads = threads
        for name in _OPTIONS:
            if name in options:
                setattr(net.opt, "use_" + name, bool(options[name]))
        # Pools, as ncnn's own benchmark has them: memory is taken once, not at every layer.
        self._blobs, self._workspace = ncnn.UnlockedPoolAllocator(), ncnn.PoolAllocator()
        net.opt.blob_allocator = self._blobs
        net.opt.workspace_allocator = self._workspace
        if net.load_param(artifact["model.ncnn.param"]):
            raise RunnerFailure(LOAD_FAILED, "ncnn refuses model.ncnn.param")
        if net.load_model(artifact["model.ncnn.bin"]):
            raise RunnerFailure(LOAD_FAILED, "ncnn refuses model.ncnn.bin")
        self._blob_of = options["blobs"]
        self._outputs = outputs
        self._mats: Dict[str, Any] = {}
        self._results: Dict[str, Any] = {}
        self.versions = {"ncnn": ncnn.__version__}

    def bind(self, inputs: Dict[str, Any]) -> None:
        # ncnn has no batch axis: [1, C, H, W] becomes a Mat of C x H x W, with memory of its own.
        self._mats = {}
        for name, array in inputs.items():
            values = np.ascontiguousarray(array[0])  # a Mat does not keep alive what it looks at
            self._mats[self._blob_of[name]] = self._ncnn.Mat(values).clone()

    def infer(self) -> None:
        extractor = self._net.create_extractor()
        for blob, mat in self._mats.items():
            extractor.input(blob, mat)
        results = {}
        for output in self._outputs:
            code, results[output["name"]] = extractor.extract(self._blob_of[output["name"]])
            if code:
                raise RunnerFailure(INFERENCE_FAILED, "ncnn failed with code %d" % code)
        self._results = results

    def outputs(self) -> Dict[str, Any]:
        arrays = {}
        for output in self._outputs:
            array = np.array(self._results[output["name"]])
            try:
                arrays[output["name"]] = array.reshape(output["shape"])
            except ValueError:
                raise RunnerFailure(
                    INFERENCE_FAILED,
                    "ncnn gives output %r the shape %r instead of %r: the model was converted "
                    "wrongly" % (output["name"], array.shape, tuple(output["shape"])),
                ) from None
        return arrays
