"""EfficientNet's blocks, and its scaling to compact sizes below B0.

EfficientNet (arXiv 1905.11946), table 1; EfficientHRNet (arXiv 2007.08090), section 3.2.1.

    stage  kernel  expansion  stride of the first block  channels of B0  blocks of B0
    stem     3         -          2  (to stride 2)            32               -
      1      3         1          1                           16               1
      2      3         6          2  (to stride 4)            24               2
      3      5         6          2  (to stride 8)            40               2
      4      3         6          2  (to stride 16)           80               3
      5      5         6          1                          112               3
      6      5         6          2  (to stride 32)          192               4
      7      3         6          1                          320               1
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from models_src.layers.channels import round_channels

STAGE_KERNELS = (3, 3, 5, 3, 5, 5, 3)
STAGE_EXPANSIONS = (1, 6, 6, 6, 6, 6, 6)
STAGE_STRIDES = (1, 2, 2, 2, 1, 2, 1)
LAST_STAGES = (2, 3, 5, 7)  # at strides 4, 8, 16, 32
SQUEEZE = 4
DROP_CONNECT = 0.2


class _PadRightBottom(torch.autograd.Function):
    """One more column and row of zeros. A function of its own for the sake of the exporter:

    PyTorch's own padding becomes a dozen nodes of arithmetic on constants, this one Pad, which
    simplifying the graph merges into the convolution behind it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return nn.functional.pad(x, (0, 1, 0, 1))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient[..., :-1, :-1]

    @staticmethod
    def symbolic(graph: Any, x: Any) -> Any:
        before, after = [0, 0, 0, 0], [0, 0, 1, 1]
        return graph.op("Pad", x, graph.op("Constant", value_t=torch.tensor(before + after)))


class PadRightBottom(nn.Module):
    """(B, C, H, W) -> (B, C, H + 1, W + 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return _PadRightBottom.apply(x)


def conv_bn_swish(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """k x k convolution without bias -> batch norm -> swish.

    (B, in_channels, H, W) -> (B, out_channels, H // stride, W // stride)
    """
    padding = kernel_size - stride
    return nn.Sequential(
        # Stride 2 leaves an odd cell of padding, and PyTorch's convolution has no place for it.
        PadRightBottom() if padding % 2 else nn.Identity(),
        nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding=padding // 2,
            groups=groups,
            bias=False,
        ),
        nn.BatchNorm2d(out_channels),
        nn.SiLU(inplace=True),
    )


class SqueezeExcitation(nn.Module):
    """One gate per channel, from the means of all: (B, channels, H, W) -> the same."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.se = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.SiLU(inplace=True),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.se(x)


def drop_connect(x: Tensor, rate: float) -> Tensor:
    """Zero whole samples at `rate`; the others grow, so that the mean stays."""
    keep = 1 - rate
    kept = torch.rand(x.shape[0], 1, 1, 1, device=x.device) < keep
    return x * kept / keep


class MBConv(nn.Module):
    """1 x 1 up, depthwise k x k, gates, 1 x 1 down without activation; residual if shapes allow.

    (B, in_channels, H, W) -> (B, out_channels, H // stride, W // stride)
    """

    def __init__(
        self, in_channels: int, out_channels: int, expansion: int, kernel_size: int, stride: int
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        up = [conv_bn_swish(in_channels, hidden, 1)] if expansion > 1 else []
        self.conv = nn.Sequential(
            *up,
            conv_bn_swish(hidden, hidden, kernel_size, stride, groups=hidden),
            SqueezeExcitation(hidden, in_channels // SQUEEZE),  # of the input, not of `hidden`
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if not self.residual:
            return y
        return x + (drop_connect(y, DROP_CONNECT) if self.training else y)


def efficientnet_blocks(
    stem_channels: int, stage_channels: Sequence[int], stage_blocks: Sequence[int]
) -> list[nn.Module]:
    """The stem and every block of the seven stages, in one row."""
    layers: list[nn.Module] = [conv_bn_swish(3, stem_channels, 3, stride=2)]
    channels = stem_channels
    for out_channels, blocks, expansion, kernel_size, stride in zip(
        stage_channels, stage_blocks, STAGE_EXPANSIONS, STAGE_KERNELS, STAGE_STRIDES, strict=True
    ):
        for block_stride in (stride, *[1] * (blocks - 1)):
            layers.append(MBConv(channels, out_channels, expansion, kernel_size, block_stride))
            channels = out_channels
    return layers


class EfficientNetFeatures(nn.Sequential):
    """(B, 3, H, W) -> the features at strides 4, 8, 16, 32: the last ones before each descent.

    `out_channels` lists their channel counts.
    """

    def __init__(
        self, stem_channels: int, stage_channels: Sequence[int], stage_blocks: Sequence[int]
    ) -> None:
        super().__init__(*efficientnet_blocks(stem_channels, stage_channels, stage_blocks))
        ends = list(accumulate(stage_blocks))
        self.taps = tuple(ends[stage - 1] for stage in LAST_STAGES)
        self.out_channels = tuple(stage_channels[stage - 1] for stage in LAST_STAGES)
        init_efficientnet(self)

    def forward(self, image: Tensor) -> list[Tensor]:
        x, features = image, []
        for index, layer in enumerate(self):
            x = layer(x)
            if index in self.taps:
                features.append(x)
        return features


def init_efficientnet(module: nn.Module) -> None:
    """Initialise as the original code: Kaiming normal over the fan-out, biases zero.

    Linear layers are uniform within 1 / sqrt(classes).
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out")
        elif isinstance(layer, nn.Linear):
            bound = 1 / math.sqrt(layer.out_features)
            nn.init.uniform_(layer.weight, -bound, bound)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


@dataclass(frozen=True)
class BackboneSize:
    """The numbers of one EfficientNet; `head_channels` are those before the classifier."""

    stem_channels: int
    stage_channels: tuple[int, ...]
    stage_blocks: tuple[int, ...]
    head_channels: int


B0 = BackboneSize(32, (16, 24, 40, 80, 112, 192, 320), (1, 2, 2, 3, 3, 4, 1), 1280)


def scale_backbone(phi: int) -> BackboneSize:
    """B0 made 1.1^phi as wide and 1.2^phi as deep (equation 4): B-1 to B-4 for phi -1 to -4.

    The original's configurations hold rounded multipliers, for phi = -4 even 0.684 and 0.483 in
    place of 0.683 and 0.482. They give the same channels and blocks as the powers themselves.
    """
    width, depth = 1.1**phi, 1.2**phi
    return BackboneSize(
        round_channels(B0.stem_channels * width),
        tuple(round_channels(channels * width) for channels in B0.stage_channels),
        tuple(math.ceil(blocks * depth) for blocks in B0.stage_blocks),
        round_channels(B0.head_channels * width),
    )
