"""Count what a net holds and what one forward costs: truly, and as the papers' tools do."""

import copy
from collections.abc import Callable
from math import prod
from typing import Any

import msgspec
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from edgepose.zoo import CountingRule

Inputs = tuple[Tensor, ...]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_DECONVOLUTIONS = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.LayerNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)
_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.PReLU, nn.ELU, nn.LeakyReLU)
_POOLINGS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d)

_EXPANDED_SHARE = 0.4
_EXPANDED_DEPTH = 3


class Stage(msgspec.Struct, frozen=True):
    """One block of a net: its parameters, its true MACs and its (last) output's shape."""

    name: str
    parameters: int
    macs: int
    output: tuple[int, ...]


def count_parameters(module: nn.Module) -> int:
    """Learnable numbers in ``module``; a tensor shared by several layers counts once."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_macs(module: nn.Module, example_inputs: Inputs) -> int:
    """True multiply-accumulates of one forward over ``example_inputs`` (the batch included).

    Convolutions, linear layers and products of two activations (attention) count and nothing else:
    no bias, norm or activation. Padding counts as if it were data. A transposed convolution
    multiplies once per *input* position; tools that count it at output positions report stride²
    times too much.
    """
    return _true_macs(_ghost(module), example_inputs)["Global"]


def count_by_rule(module: nn.Module, example_inputs: Inputs, rule: CountingRule) -> int:
    """The "FLOPs" that ``rule.tool`` reports for one forward; see ``CountingRule``.

    Like most of those tools it looks at layers: what a net computes without one costs nothing, but
    for the products of activations that ``rule`` may add.
    """
    ghost = _ghost(module)
    layers = added = 0

    def count(layer: Any, inputs: Inputs, output: Any) -> None:
        nonlocal layers, added
        if isinstance(layer, (*_CONVOLUTIONS, *_DECONVOLUTIONS, nn.Linear)):
            deconvolution = isinstance(layer, _DECONVOLUTIONS)
            per_position = layer.weight[0].numel()
            macs = (inputs[0] if deconvolution else output).numel() * per_position
            layers += macs
            if deconvolution and rule.deconvolution == "output":
                # A deconvolution's weight is [in, out / groups, ...].
                positions = prod(output.shape[2:]) * inputs[0].shape[:2].numel()
                added += positions * per_position - macs
            if layer.bias is not None:
                added += rule.bias * output.numel()
        elif isinstance(layer, _NORMS):
            added += rule.norm * output.numel()
        elif isinstance(layer, _ACTIVATIONS):
            added += rule.activation * output.numel()
        elif isinstance(layer, _POOLINGS):
            added += rule.pooling * inputs[0].numel()
        elif isinstance(layer, nn.Upsample):
            added += rule.upsampling * output.numel()

    _hook(ghost, count)
    macs = _true_macs(ghost, example_inputs)
    attention = sum(
        macs[name]
        for name, layer in ghost.named_modules()
        if isinstance(layer, nn.MultiheadAttention)
    )
    products = macs["Global"] - layers - attention
    return layers + added + rule.products * products + rule.attention_modules * attention


def stages(module: nn.Module, example_inputs: Inputs) -> list[Stage]:
    """The blocks of ``module`` in the order of their execution.

    A block with the greater part of the cost is shown by its parts. The last row, "rest", holds
    what stands in no row: norms and activations between the blocks, mostly.
    """
    ghost = _ghost(module)
    outputs: dict[str, tuple[int, ...]] = {}  # in the order in which the modules end
    names = {layer: name for name, layer in ghost.named_modules()}

    def note(layer: nn.Module, inputs: Inputs, output: Any) -> None:
        first = output[-1] if isinstance(output, (tuple, list)) else output
        outputs[names[layer]] = tuple(first.shape) if isinstance(first, Tensor) else ()

    _hook(ghost, note)
    macs = _true_macs(ghost, example_inputs)
    blocks = [name for name in _blocks(ghost, "", macs, 0) if macs.get(name)]
    called = list(outputs)
    blocks.sort(key=called.index)
    rows = [
        Stage(name, count_parameters(ghost.get_submodule(name)), macs[name], outputs[name])
        for name in blocks
    ]
    # A tensor that several blocks share is in each one's row, and once in the net's count.
    rest = count_parameters(ghost) - sum(row.parameters for row in rows)
    left = macs["Global"] - sum(row.macs for row in rows)
    return [*rows, Stage("rest", rest, left, ())] if rest or left else rows


def _ghost(module: nn.Module) -> nn.Module:
    """A copy of ``module`` in eval mode that computes shapes only, on the meta device.

    The caller's module keeps its mode, device and statistics, and its weights are not copied.
    """
    without_data: dict[int, Any] = {
        id(tensor): nn.Parameter(tensor.to("meta"), requires_grad=tensor.requires_grad)
        for tensor in module.parameters()
    }
    without_data |= {id(tensor): tensor.to("meta") for tensor in module.buffers()}
    return copy.deepcopy(module, without_data).eval()


def _hook(module: nn.Module, hook: Callable[[nn.Module, Inputs, Any], None]) -> None:
    for layer in module.modules():
        layer.register_forward_hook(hook)


def _true_macs(ghost: nn.Module, example_inputs: Inputs) -> dict[str, int]:
    """MACs by the name of the module in which they are spent; ``Global`` is all of them.

    Only on the meta device are they right: the fused attention kernels of CPUs are not counted.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        ghost(*(example.to("meta") for example in example_inputs))
    root = f"{type(ghost).__name__}."
    return {
        name.removeprefix(root): sum(flops.values()) // 2
        for name, flops in counter.get_flop_counts().items()
    } | {"Global": counter.get_total_flops() // 2}


def _blocks(module: nn.Module, prefix: str, macs: dict[str, int], depth: int) -> list[str]:
    """Names of the parts of ``module``, the dear ones replaced by their own parts."""
    names = []
    for child_name, child in module.named_children():
        name = f"{prefix}{child_name}"
        lists = isinstance(child, (nn.ModuleList, nn.ModuleDict))  # never called themselves
        dear = macs.get(name, 0) > _EXPANDED_SHARE * macs["Global"] and depth < _EXPANDED_DEPTH
        parts = _blocks(child, f"{name}.", macs, depth + 1) if lists or dear else []
        names += parts or [name]
    return names
