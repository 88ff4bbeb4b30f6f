"""The tensors of a weights file, read without executing anything that is in it."""

import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgepose.errors import WeightsError


class Nothing:
    """Stands in for an object of a checkpoint that is no tensor: holds nothing, does nothing."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


class _PlainDict:
    """Stands in for classes whose content PyTorch's reader wants to put into a dict."""

    def __new__(cls, *_: object) -> Any:
        return {}


class _PlainList:
    def __new__(cls, *_: object) -> Any:
        return []


# What MMEngine and MMCV leave in their checkpoints beside the weights: training logs, settings,
# NumPy numbers. The objects are never needed, so inert ones take their places and the real
# classes are neither imported nor called. Whatever is not listed here makes the file refused.
_STAND_INS: list[Any] = [
    (Nothing, "builtins.dict"),
    (Nothing, "builtins.float"),
    (Nothing, "builtins.getattr"),
    (Nothing, "builtins.int"),
    (Nothing, "builtins.list"),
    (Nothing, "mmengine.logging.history_buffer.HistoryBuffer"),
    (Nothing, "mmengine.logging.message_hub.MessageHub"),
    (Nothing, "numpy.dtype"),
    (Nothing, "numpy.ndarray"),
    (Nothing, "numpy.core.multiarray._reconstruct"),
    (Nothing, "numpy.core.multiarray.scalar"),
    (Nothing, "numpy._core.multiarray._reconstruct"),
    (Nothing, "numpy._core.multiarray.scalar"),
    (_PlainDict, "collections.defaultdict"),
    (_PlainDict, "mmengine.config.config.ConfigDict"),
    (_PlainList, "collections.deque"),
]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name of a ``.safetensors`` file or a PyTorch checkpoint, as they are named there.

    Where a checkpoint has a ``state_dict``, its tensors are meant: of a training run with averaged
    weights these are the averaged ones. Raises WeightsError.
    """
    if not path.is_file():
        raise WeightsError(f"weights file {path} does not exist", hint="Check the path.")
    try:
        content = _read(path)
    except Exception as error:  # noqa: BLE001 - the readers raise many types on corrupt files
        raise WeightsError(
            f"weights file {path} cannot be read safely: {_reason(error)}",
            hint="Give a .safetensors file or a PyTorch checkpoint that holds tensors only.",
        ) from None
    tensors = {
        name: value for name, value in content.items() if isinstance(name, str) and _is_plain(value)
    }
    if not tensors:
        raise WeightsError(
            f"weights file {path} holds no tensors by name", hint="Save net.state_dict() in it."
        )
    return tensors


def _read(path: Path) -> Mapping[Any, Any]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        tensors: dict[str, Tensor] = load_file(path)
        return tensors
    _refuse_inflating(path)
    with warnings.catch_warnings(), torch.serialization.safe_globals(_STAND_INS):
        warnings.simplefilter("ignore")
        content = torch.load(path, map_location="cpu", weights_only=True)
    state = content.get("state_dict", content) if isinstance(content, Mapping) else content
    if not isinstance(state, Mapping):
        raise TypeError(f"holds a {type(state).__name__}, not a state dict")
    return state


def _reason(error: Exception) -> str:
    """One line; of PyTorch's refusal the cause, without its advice to read the file unsafely."""
    text = str(error).strip()
    cause = re.search(r"WeightsUnpickler error: (.*?)(?: was not an allowed|\n|$)", text)
    return cause[1].strip() if cause else text.split("\n")[0] or type(error).__name__


def _is_plain(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
    )


def _refuse_inflating(path: Path) -> None:
    """PyTorch stores without compression: what unpacks to more than the file has is an attack."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > path.stat().st_size:
            raise ValueError(f"it would unpack to {unpacked} bytes, more than the file has")
