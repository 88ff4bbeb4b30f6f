"""The trained ONNX files of the reference data, described by the shipped examples."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edgepose.config import load_toml
from edgepose.user_model import UserModel
from edgepose.zoo import ModelSpec

EXAMPLES = Path(__file__).parent.parent / "examples"


def trained_model(
    shared_data: Path, name: str
) -> tuple[ModelSpec, Callable[[NDArray[np.float32]], Sequence[NDArray[Any]]]]:
    """The spec of ``examples/<name>.toml`` and onnxruntime on ``<name>.onnx``."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    path = shared_data / "models" / f"{name}.onnx"
    session = onnxruntime.InferenceSession(str(path), options)
    beside = load_toml(EXAMPLES / f"{name}.toml", UserModel)
    spec = ModelSpec(
        name=name,
        family="onnx",
        task=beside.task,
        input=beside.input,
        outputs=tuple(output.name for output in session.get_outputs()),
        decoder=beside.decoder,
        dataset=beside.dataset,
        keypoints=beside.keypoints,
    )
    input_name = session.get_inputs()[0].name
    return spec, lambda tensor: session.run(None, {input_name: tensor})
