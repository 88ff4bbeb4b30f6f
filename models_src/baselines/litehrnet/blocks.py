"""The blocks of Lite-HRNet (arXiv 2104.06403, sections 3.1 to 3.3), named as in MMPose.

Half of each branch's channels is weighted twice: by gates that are computed from all branches at
the lowest resolution (cross-resolution weights), and by gates from the branch's own mean (spatial
weights). They replace the costly 1 x 1 convolutions of a shuffle block.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models_src.layers.conv import conv

SPATIAL_REDUCTION = 4

Size = tuple[int, int]


class ConvModule(nn.Module):
    """k x k convolution [-> batch norm] [-> activation]; with a bias where there is no norm.

    (B, in_channels, H, W) -> (B, out_channels, H / stride, W / stride)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        *,
        groups: int = 1,
        norm: bool = True,
        activation: type[nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.conv = conv(
            in_channels, out_channels, kernel_size, stride, groups=groups, bias=not norm
        )
        self.bn = nn.BatchNorm2d(out_channels) if norm else None
        self.activate = None if activation is None else activation()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.bn is not None:
            x = self.bn(x)
        return x if self.activate is None else self.activate(x)


def depthwise(channels: int, stride: int = 1) -> ConvModule:
    """3 x 3 depthwise convolution and norm: (B, C, H, W) -> (B, C, H / stride, W / stride)."""
    return ConvModule(channels, channels, 3, stride, groups=channels)


class ChannelShuffle(nn.Module):
    """Interleaves the channels of two halves: (B, channels, H, W) -> the same."""

    def __init__(self, channels: int, size: Size) -> None:
        super().__init__()
        self.halves = (-1, 2, channels // 2, *size)
        self.whole = (-1, channels, *size)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        halves = torch.cat([first, second], dim=1).reshape(self.halves)
        return halves.transpose(1, 2).reshape(self.whole)


class Stem(nn.Module):
    """A convolution, then a shuffle block, both with stride 2: (B, 3, H, W) -> (B, C, H/4, W/4)."""

    def __init__(self, channels: int, size: Size) -> None:
        super().__init__()
        half = channels // 2
        self.splits = [half, half]
        self.conv1 = ConvModule(3, channels, 3, 2, activation=nn.ReLU)
        self.branch1 = nn.Sequential(
            depthwise(half, stride=2), ConvModule(half, half, activation=nn.ReLU)
        )
        self.expand_conv = ConvModule(half, channels, activation=nn.ReLU)
        self.depthwise_conv = depthwise(channels, stride=2)
        self.linear_conv = ConvModule(channels, half, activation=nn.ReLU)
        self.shuffle = ChannelShuffle(channels, size)

    def forward(self, image: Tensor) -> Tensor:
        x1, x2 = torch.split(self.conv1(image), self.splits, dim=1)
        x2 = self.linear_conv(self.depthwise_conv(self.expand_conv(x2)))
        return self.shuffle(self.branch1(x1), x2)


class SpatialWeighting(nn.Module):
    """x times a gate per channel from x's global mean: (B, channels, H, W) -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // SPATIAL_REDUCTION
        self.global_avgpool = nn.AdaptiveAvgPool2d(1)
        self.conv1 = ConvModule(channels, hidden, norm=False, activation=nn.ReLU)
        self.conv2 = ConvModule(hidden, channels, norm=False, activation=nn.Sigmoid)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv2(self.conv1(self.global_avgpool(x)))


class CrossResolutionWeighting(nn.Module):
    """Gates for all branches from all branches, computed at the lowest resolution.

    A list of (B, channels[i], H / 2^i, W / 2^i) -> the same
    """

    def __init__(self, channels: Sequence[int], reduction: int) -> None:
        super().__init__()
        total = sum(channels)
        self.splits = list(channels)
        # How many cells of branch i make one of the smallest branch, along each side.
        self.ratios = [2**steps for steps in reversed(range(len(channels)))]
        self.conv1 = ConvModule(total, total // reduction, activation=nn.ReLU)
        self.conv2 = ConvModule(total // reduction, total, activation=nn.Sigmoid)

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        pooled = [
            functional.avg_pool2d(x, ratio) if ratio > 1 else x
            for x, ratio in zip(branches, self.ratios, strict=True)
        ]
        gates = torch.split(self.conv2(self.conv1(torch.cat(pooled, dim=1))), self.splits, dim=1)
        return [
            x * (functional.interpolate(gate, scale_factor=float(ratio)) if ratio > 1 else gate)
            for x, gate, ratio in zip(branches, gates, self.ratios, strict=True)
        ]


class ConditionalChannelWeighting(nn.Module):
    """Figure 2b: one half of each branch is weighted, filtered, weighted; then shuffled in.

    A list of (B, channels[i], H / 2^i, W / 2^i) -> the same
    """

    def __init__(self, channels: Sequence[int], sizes: Sequence[Size], reduction: int) -> None:
        super().__init__()
        halves = [width // 2 for width in channels]
        self.splits = [[half, half] for half in halves]
        self.cross_resolution_weighting = CrossResolutionWeighting(halves, reduction)
        self.depthwise_convs = nn.ModuleList(depthwise(half) for half in halves)
        self.spatial_weighting = nn.ModuleList(SpatialWeighting(half) for half in halves)
        self.shuffles = nn.ModuleList(
            ChannelShuffle(width, size) for width, size in zip(channels, sizes, strict=True)
        )

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        pairs = [
            torch.split(x, split, dim=1) for x, split in zip(branches, self.splits, strict=True)
        ]
        weighted = self.cross_resolution_weighting([second for _, second in pairs])
        return [
            shuffle(first, weighting(conv(second)))
            for (first, _), second, conv, weighting, shuffle in zip(
                pairs,
                weighted,
                self.depthwise_convs,
                self.spatial_weighting,
                self.shuffles,
                strict=True,
            )
        ]
