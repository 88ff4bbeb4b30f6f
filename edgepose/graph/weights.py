"""Read a checkpoint safely and load it into a net, or say exactly what does not fit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgepose.errors import WeightsError

_PREFIXES = ("module.", "1.")  # left by DataParallel and by LitePose's fp16 wrapper
_IGNORED = ("data_preprocessor.",)  # MMPose's image mean and std


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors by name of a ``.safetensors`` file or a PyTorch checkpoint.

    A checkpoint is read with ``weights_only``: nothing in it is executed. ``state_dict`` is
    unwrapped, the prefixes of wrappers are removed. Raises WeightsError.
    """
    if not path.is_file():
        raise WeightsError(f"weights file {path} does not exist", hint="Check the path.")
    try:
        content = _read(path)
    except Exception as error:  # noqa: BLE001 - the readers raise many types on corrupt files
        first_line = str(error).strip().split("\n")[0]
        raise WeightsError(
            f"weights file {path} cannot be read safely: {first_line}",
            hint="Give a .safetensors file or a PyTorch checkpoint that holds tensors only.",
        ) from None
    tensors = {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    if not tensors:
        raise WeightsError(
            f"weights file {path} holds no tensors by name", hint="Save net.state_dict() in it."
        )
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return {name: value for name, value in tensors.items() if not name.startswith(_IGNORED)}


def _read(path: Path) -> Mapping[str, Any]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        tensors: dict[str, Tensor] = load_file(path)
        return tensors
    content = torch.load(path, map_location="cpu", weights_only=True)
    state = content.get("state_dict", content) if isinstance(content, Mapping) else content
    if not isinstance(state, Mapping):
        raise TypeError(f"holds a {type(state).__name__}, not a state dict")
    return state


def load_weights(net: nn.Module, path: Path, model: str) -> None:
    """Load the file at ``path`` into ``net``, strictly.

    Raises WeightsError that names keys which are missing, unexpected or of another shape.
    """
    state = read_state_dict(path)
    wanted = {name: tensor for name, tensor in net.state_dict().items() if _is_weight(name)}
    problems = {
        "missing": [name for name in wanted if name not in state],
        "unexpected": [name for name in state if name not in wanted and _is_weight(name)],
        "of another shape": [
            f"{name} {list(state[name].shape)} instead of {list(tensor.shape)}"
            for name, tensor in wanted.items()
            if name in state and state[name].shape != tensor.shape
        ],
    }
    if any(problems.values()):
        parts = [
            f"{len(names)} {what} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
            for what, names in problems.items()
            if names
        ]
        raise WeightsError(
            f"{path} does not fit {model}: of its keys {'; '.join(parts)}",
            hint="Check that the checkpoint was trained for this model, size and data set.",
        )
    net.load_state_dict({name: tensor.float() for name, tensor in state.items()}, strict=False)


def _is_weight(name: str) -> bool:
    return not name.endswith("num_batches_tracked")
