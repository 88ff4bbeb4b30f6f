"""Count what a net holds and what one forward costs."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

Convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TransposedConvolution = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def count_parameters(module: nn.Module) -> int:
    """Learnable numbers in ``module``; a tensor shared by several layers counts once."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_macs(module: nn.Module, example_inputs: tuple[Tensor, ...]) -> int:
    """True multiply-accumulates of one forward over ``example_inputs`` (the batch included).

    Convolutions and linear layers count and nothing else, as in the literature: no bias, norm,
    activation or product of two activations. Padding counts as if it were data. A transposed
    convolution multiplies once per *input* position; tools that count it at output positions,
    as the one behind LitePose's table did, report stride² times too much.
    """
    # On the meta device only shapes are computed: no time spent, and the caller's module keeps
    # its mode, device and batch-norm statistics.
    ghost = copy.deepcopy(module).to("meta").eval()
    macs = 0

    def count(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs
        positions = inputs[0] if isinstance(layer, TransposedConvolution) else output
        macs += positions.numel() * layer.weight[0].numel()

    for layer in ghost.modules():
        if isinstance(layer, (*Convolution, *TransposedConvolution, nn.Linear)):
            layer.register_forward_hook(count)
    with torch.no_grad():
        ghost(*(example.to("meta") for example in example_inputs))
    return int(macs)
