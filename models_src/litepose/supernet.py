"""LitePose's weight-sharing supernet (arXiv 2205.01271, section 4).

One net of the largest widths holds every smaller one: a sub-network is the first channels of each
layer and the first blocks of each stage. Its `arch` is the numbers that build a `LitePose`.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from models_src.layers.channels import round_channels
from models_src.litepose.net import InvertedBottleneck, LitePose, litepose

WIDTH_RATIOS = (1.0, 0.75, 0.5, 0.25)


def supernet(
    stem_channels: int,
    stage_channels: Sequence[int],
    deconv_channels: Sequence[int],
    stage_blocks: Sequence[int] = (6, 8, 10, 10),
    keypoints: int = 17,
) -> LitePose:
    """Build the supernet from its largest numbers; its forward is that of the full net."""
    net = litepose(stem_channels, stage_channels, deconv_channels, stage_blocks, keypoints)
    for stage in net.stage:
        for block in stage:
            # Once-for-all's transforms to smaller kernels: every checkpoint has them, and none
            # is used, because the kernel is not searched (section 3.4).
            block.Linear5x5 = nn.Linear(25, 25)
            block.Linear3x3 = nn.Linear(9, 9)
    return net


def sample_arch(
    rng: Random, full: Mapping[str, Any], ratios: Sequence[float] = WIDTH_RATIOS
) -> dict[str, Any]:
    """A sub-network of the supernet `full`: each width times a ratio of its own, the rest as it is.

    All blocks of a stage share one width. The paper searches all four ratios for XS, and the
    largest three for S, M and L (section 5.2).
    """

    def scale(channels: int) -> int:
        return round_channels(channels * rng.choice(ratios))

    # In the original's order of draws, so that its seeds give its sub-networks.
    drawn = {
        "stem_channels": scale(full["stem_channels"]),
        "deconv_channels": [scale(channels) for channels in full["deconv_channels"]],
        "stage_channels": [scale(channels) for channels in full["stage_channels"]],
    }
    return {**full, **drawn}


def shared_weights(net: LitePose, arch: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state dict of the sub-network `arch`, as views into the supernet `net`.

    A sub-network that runs on them (`torch.func.functional_call`) trains the supernet: gradients
    and running statistics arrive there. Raises ValueError if `arch` is not a part of `net`.
    """
    with torch.device("meta"):
        part = litepose(**arch)
    _require_part(part, net)
    shared = net.state_dict(keep_vars=True)
    return {
        name: shared[name][tuple(slice(size) for size in wanted.shape)]
        for name, wanted in part.state_dict().items()
    }


def extract(net: LitePose, arch: Mapping[str, Any]) -> LitePose:
    """The sub-network `arch` of the supernet `net`, with weights and statistics of its own.

    Raises ValueError if `arch` is not a part of `net`.
    """
    part = litepose(**arch)
    part.load_state_dict(shared_weights(net, arch))
    return part.train(net.training)


@torch.no_grad()
def reorder_channels(net: LitePose) -> None:
    """Put the most important channels first, where small sub-networks find them; in place.

    A channel weighs what the first 1 x 1 convolution of the next stage spends on it (L1 norm).
    The backbone stays the same function. The head is left alone and sees its features permuted:
    the original reorders a pre-trained backbone below a new head.
    """
    # Of the features x0 to x3: what writes each, and what reads it within its own stage.
    earlier = net.stage[:-1]
    writers = [[net.first[2:]], *([block.point_conv for block in stage] for stage in earlier)]
    readers = [[], *([block.inv[0] for block in stage[1:]] for stage in earlier)]
    for own_writers, own_readers, next_stage in zip(writers, readers, net.stage, strict=True):
        next_reader = next_stage[0].inv[0]
        order = next_reader.weight.abs().sum(dim=(0, 2, 3)).argsort(descending=True)
        for conv in (*own_readers, next_reader):
            conv.weight.copy_(conv.weight[:, order])
        for conv, norm in own_writers:
            conv.weight.copy_(conv.weight[order])
            # The original leaves the running statistics behind: its type check misses its own
            # batch norm. In training they are soon overwritten; before it they have to fit.
            for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                values.copy_(values[order])


def _require_part(part: LitePose, net: LitePose) -> None:
    """Raise ValueError unless `part`, cut out of `net`, computes what `net` computes there."""
    shared = net.state_dict()
    for name, wanted in part.state_dict().items():
        if name not in shared or not _can_cut(shared[name].shape, wanted.shape):
            raise ValueError(f"the supernet does not hold {name} {list(wanted.shape)}")
    if _keypoints(part) != _keypoints(net):
        raise ValueError(f"the supernet has {_keypoints(net)} key points, not {_keypoints(part)}")
    # Widths decide on residuals, and those of two stages may become equal by the cut.
    accidental = _residuals(part) - _residuals(net)
    if accidental:
        raise ValueError(f"{min(accidental)} has a residual that the supernet has not")


def _can_cut(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether `wanted` has at most the channels and exactly the kernel of `shape`."""
    fits = all(less <= size for less, size in zip(wanted, shape, strict=True))
    return fits and shape[2:] == wanted[2:]


def _keypoints(net: LitePose) -> int:
    return net.final_refined[1].conv[-1].out_channels


def _residuals(net: LitePose) -> set[str]:
    blocks = (item for item in net.named_modules() if isinstance(item[1], InvertedBottleneck))
    return {name for name, block in blocks if block.residual}
