"""From the tensors of a published checkpoint to the state dict of our net, by rules."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from edgepose.graph.checkpoint import read_tensors
from edgepose.graph.misfit import Misfit, MisfitError
from edgepose.zoo import CheckpointRules, ModelSpec, family_of

_WRAPPERS = ("module.", "1.")  # DataParallel; the half-precision wrapper of HigherHRNet's training
# MMPose's image mean and std; the weights that are *not* averaged, as MMCV's hook keeps them.
_NEVER_WEIGHTS = ("data_preprocessor.", "ema_")


def read_weights(path: Path, net: nn.Module, spec: ModelSpec) -> dict[str, Tensor]:
    """The state dict that the file at ``path`` gives ``net``, the net of the zoo entry ``spec``.

    The file is a safetensors file, a checkpoint of the original project or an ONNX export of the
    net; ``net`` stays as it is. Raises WeightsError, or its MisfitError where keys do not fit.
    """
    if path.suffix == ".onnx":
        from edgepose.graph.onnx_weights import read_onnx_weights

        tensors = read_onnx_weights(path, net, spec)
        rules = CheckpointRules()
    else:
        tensors = read_tensors(path)
        rules = family_of(spec).checkpoint
    state, misfit = fit(tensors, net, rules)
    if misfit:
        raise MisfitError(path, spec.name, misfit)
    return state


def fit(
    tensors: Mapping[str, Tensor], net: nn.Module, rules: CheckpointRules
) -> tuple[dict[str, Tensor], Misfit]:
    """``tensors`` as a state dict in the order and types of the net's own, and what does not fit.

    Batch counters may be absent or too many: inference does not read them.
    """
    own = net.state_dict()
    wanted = {name for name in own if _is_weight(name)}
    given = rename(tensors, rules, wanted)
    reshaped = [
        f"{name} {_form(given[name])} instead of {list(own[name].shape)}"
        for name in own
        if name in given and not _same_form(given[name], own[name])
    ]
    misfit = Misfit(
        missing=tuple(name for name in own if name in wanted and name not in given),
        unexpected=tuple(name for name in given if name not in own and _is_weight(name)),
        reshaped=tuple(reshaped),
    )
    if misfit:
        return {}, misfit
    state = {
        name: given[name].to(tensor.dtype) if name in given else torch.zeros((), dtype=tensor.dtype)
        for name, tensor in own.items()
    }
    return state, misfit


def rename(
    tensors: Mapping[str, Tensor], rules: CheckpointRules, wanted: set[str]
) -> dict[str, Tensor]:
    """``tensors`` without wrappers and strangers, by the keys of the net, which are ``wanted``.

    A file whose keys are the net's own already, as ours are, is not renamed.
    """
    given = _unwrapped(tensors, rules)
    if wanted <= given.keys():
        return given
    renamed: dict[str, Tensor] = {}
    for name, tensor in given.items():
        key = name
        for pattern, replacement in rules.rename:
            key = re.sub(pattern, replacement, key)
        # Of two that would get one name, the second is left for the report.
        renamed[name if key in renamed else key] = tensor
    return renamed


def _unwrapped(tensors: Mapping[str, Tensor], rules: CheckpointRules) -> dict[str, Tensor]:
    given = {name: tensor for name, tensor in tensors.items() if not _is_stranger(name, rules)}
    for wrapper in _WRAPPERS:
        if given and all(name.startswith(wrapper) for name in given):
            inner = {name.removeprefix(wrapper): tensor for name, tensor in given.items()}
            return _unwrapped(inner, rules)
    return given


def _is_stranger(name: str, rules: CheckpointRules) -> bool:
    return name.startswith(_NEVER_WEIGHTS) or any(re.search(p, name) for p in rules.ignore)


def _is_weight(name: str) -> bool:
    return not name.endswith("num_batches_tracked")


def _same_form(given: Tensor, own: Tensor) -> bool:
    """Half precision becomes single; whole numbers, as quantised weights are, are none."""
    return bool(given.shape == own.shape and given.is_floating_point() == own.is_floating_point())


def _form(tensor: Tensor) -> str:
    shape = str(list(tensor.shape))
    return shape if tensor.is_floating_point() else f"{tensor.dtype} {shape}"
