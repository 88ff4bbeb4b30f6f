"""A user's own ONNX file as a model, with an optional small TOML beside it.

``net.toml`` beside ``net.onnx`` says what the graph cannot: preprocessing and decoder.
"""

from pathlib import Path

import msgspec

from edgepose.config import load_toml
from edgepose.errors import UsageError
from edgepose.zoo import Decoder, InputSpec, ModelSpec, Task


class UserModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The TOML beside an ONNX file; see ``examples/``."""

    task: Task = "unknown"
    dataset: str = ""
    keypoints: int = 0
    trained: bool = True
    input: InputSpec | None = None
    decoder: Decoder | None = None


def is_onnx_path(model: str) -> bool:
    """Whether ``model`` means a file rather than a name of the zoo."""
    return model.endswith(".onnx")


def read_user_model(path: Path) -> tuple[ModelSpec, bool]:
    """The spec of an ONNX file, and whether its weights are trained.

    The outputs are filled in once the graph is read. Raises UsageError where the file is missing.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}", hint="Check the path of the ONNX file.")
    beside = path.with_suffix(".toml")
    told = load_toml(beside, UserModel) if beside.is_file() else UserModel()
    spec = ModelSpec(
        name=path.stem,
        family="onnx",
        title=f"the user's own {path.name}",
        task=told.task,
        dataset=told.dataset,
        keypoints=told.keypoints,
        input=told.input,
        decoder=told.decoder,
        outputs=(),
    )
    return spec, told.trained
