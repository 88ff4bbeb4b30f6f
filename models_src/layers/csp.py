"""Cross-stage-partial layer with CSPNeXt blocks (RTMDet, arXiv 2212.07784, section 3.2)."""

import torch
from torch import Tensor, nn

from models_src.layers.conv import ConvNormAct, DepthwiseSeparableConv, conv_block


class CSPNeXtBlock(nn.Module):
    """3 x 3 convolution, then 5 x 5 depthwise separable; optional residual.

    (B, channels, H, W) -> the same
    """

    def __init__(self, channels: int, *, residual: bool, depthwise: bool = False) -> None:
        super().__init__()
        self.conv1 = conv_block(channels, channels, 3, depthwise=depthwise)
        self.conv2 = DepthwiseSeparableConv(channels, channels, 5)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.conv1(x))
        return y + x if self.residual else y


class ChannelAttention(nn.Module):
    """One gate per channel from its global mean: x * hardsigmoid(fc(mean(x))).

    (B, channels, H, W) -> the same
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.global_avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Conv2d(channels, channels, 1)
        self.act = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.act(self.fc(self.global_avgpool(x)))


class CSPLayer(nn.Module):
    """Half of the channels through `blocks`, half past them; joined, gated, mixed.

    (B, in_channels, H, W) -> (B, out_channels, H, W)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        blocks: int,
        *,
        residual: bool,
        attention: bool,
        depthwise: bool = False,
    ) -> None:
        super().__init__()
        half = out_channels // 2
        self.main_conv = ConvNormAct(in_channels, half, 1)
        self.short_conv = ConvNormAct(in_channels, half, 1)
        self.final_conv = ConvNormAct(2 * half, out_channels, 1)
        self.blocks = nn.Sequential(
            *(CSPNeXtBlock(half, residual=residual, depthwise=depthwise) for _ in range(blocks))
        )
        self.attention = ChannelAttention(2 * half) if attention else None

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([self.blocks(self.main_conv(x)), self.short_conv(x)], dim=1)
        if self.attention is not None:
            y = self.attention(y)
        return self.final_conv(y)


class SpatialPyramidPooling(nn.Module):
    """The feature beside its 5, 9 and 13 wide max-pools, mixed by a 1 x 1 convolution.

    (B, channels, H, W) -> the same
    """

    def __init__(self, channels: int, kernel_sizes: tuple[int, ...] = (5, 9, 13)) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = ConvNormAct(channels, half, 1)
        self.poolings = nn.ModuleList(
            nn.MaxPool2d(size, stride=1, padding=size // 2) for size in kernel_sizes
        )
        self.conv2 = ConvNormAct(half * (1 + len(kernel_sizes)), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        return self.conv2(torch.cat([x, *(pooling(x) for pooling in self.poolings)], dim=1))
