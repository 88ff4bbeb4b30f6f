"""rtmlib as its users run it, on ONNX files of ours. Needs ``pip install rtmlib==0.0.16``.

Its RTMDet wants boxes and scores after non-maximum suppression, as mmdeploy exports them: the same
net gets that as further nodes of its graph.
"""

import contextlib
import io
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_STRIDES = (8, 16, 32)


class RtmlibTracker:
    """``rtmlib.PoseTracker`` of a detector and a pose net, on one thread."""

    def __init__(
        self,
        detector: Path,
        pose: Path,
        decoder: Literal["simcc", "heatmap"],
        *,
        detect_every: int = 1,
    ) -> None:
        """``detector`` ends with suppression (see ``with_suppression``), ``pose`` sees 256x192."""
        import rtmlib

        net = rtmlib.RTMPose if decoder == "simcc" else rtmlib.ViTPose
        with contextlib.redirect_stdout(io.StringIO()):
            finder = rtmlib.RTMDet(str(detector), (320, 320), backend="onnxruntime")
            poser = net(str(pose), (192, 256), backend="onnxruntime")
            finder.score_thr = 0.0  # the graph has its own
            for tool, path in ((finder, detector), (poser, pose)):
                tool.session = _Timed(path)
            self._sessions = (finder.session, poser.session)
            nets = SimpleNamespace(det_model=finder, pose_model=poser)
            self._tracker = rtmlib.PoseTracker(lambda **_: nets, det_frequency=detect_every)

    def reset(self) -> None:
        self._tracker.reset()

    def __call__(self, image: NDArray[np.uint8]) -> tuple[list[NDArray[Any]], float]:
        """Poses [K, 2] of the people, and the nets' share of the time in ms."""
        before = sum(session.spent_ns for session in self._sessions)
        points, _ = self._tracker(image)
        spent_ns = sum(session.spent_ns for session in self._sessions) - before
        return list(points), spent_ns / 1e6


class _Timed:
    """A session that knows how long it has run; rtmlib itself leaves the threads to onnxruntime."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.spent_ns = 0

    def get_inputs(self) -> Any:
        return self._session.get_inputs()

    def get_outputs(self) -> Any:
        return self._session.get_outputs()

    def run(self, names: list[str], inputs: dict[str, Any]) -> Any:
        begun = time.perf_counter_ns()
        outputs = self._session.run(names, inputs)
        self.spent_ns += time.perf_counter_ns() - begun
        return outputs


def with_suppression(detector: Path, into: Path, *, iou: float, threshold: float) -> Path:
    """``detector`` (levels [1, h, w, 5]: logit and distances) with ``dets`` [1, N, 5] instead."""
    model = onnx.load(detector)
    graph = model.graph
    levels = [output.name for output in graph.output]
    cells = [output.type.tensor_type.shape.dim[1].dim_value for output in graph.output]
    constants = {
        "flat": np.array([1, -1, 5], np.int64),
        "one": np.array([1], np.int64),
        "five": np.array([5], np.int64),
        "zero": np.array([0], np.int64),
        "three": np.array([3], np.int64),
        "last": np.array([2], np.int64),
        "places": _places(cells),
        "most": np.array([100], np.int64),
        "iou": np.array([iou], np.float32),
        "threshold": np.array([threshold], np.float32),
        "column": np.array(2, np.int64),
    }
    graph.initializer.extend(numpy_helper.from_array(v, f"nms.{k}") for k, v in constants.items())

    def add(kind: str, inputs: str, output: str, **attributes: Any) -> None:
        names = [f"nms.{name}" if name not in levels else name for name in inputs.split()]
        graph.node.append(helper.make_node(kind, names, [output], **attributes))

    for index, level in enumerate(levels):
        add("Reshape", f"{level} flat", f"nms.level{index}")
    add("Concat", "level0 level1 level2", "nms.all", axis=1)
    add("Slice", "all zero one last", "nms.logits")
    add("Sigmoid", "logits", "nms.probabilities")
    add("Transpose", "probabilities", "nms.scores", perm=[0, 2, 1])
    add("Slice", "all one three last", "nms.before")
    add("Slice", "all three five last", "nms.after")
    add("Sub", "places before", "nms.corners")
    add("Add", "places after", "nms.ends")
    add("Concat", "corners ends", "nms.boxes", axis=2)
    add("NonMaxSuppression", "boxes scores most iou threshold", "nms.found")
    add("Gather", "found column", "nms.kept", axis=1)
    add("Concat", "boxes probabilities", "nms.rows", axis=2)
    add("Gather", "rows kept", "dets", axis=1)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("dets", TensorProto.FLOAT, [1, None, 5]))
    onnx.checker.check_model(model)
    onnx.save(model, into)
    return into


def _places(cells: list[int]) -> NDArray[np.float32]:
    """Where each cell of all levels stands [1, N, 2] (x, y), in input pixels."""
    rows = [
        np.indices((n, n)).reshape(2, -1)[::-1] * s for n, s in zip(cells, _STRIDES, strict=True)
    ]
    return np.concatenate(rows, axis=1).T[None].astype(np.float32)
