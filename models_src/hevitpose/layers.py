"""What EfficientViT (arXiv 2305.07027) and HEViTPose build their stages from.

The attribute names are EfficientViT's.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from models_src.layers.conv import conv


def conv_norm(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """k x k convolution without bias -> batch norm, called `c` and `bn`.

    (B, in_channels, H, W) -> (B, out_channels, H / stride, W / stride)
    """
    c = conv(in_channels, out_channels, kernel_size, stride, groups=groups)
    return nn.Sequential(OrderedDict(c=c, bn=nn.BatchNorm2d(out_channels)))


def deconv_norm(
    in_channels: int, out_channels: int, kernel_size: int, stride: int
) -> nn.Sequential:
    """k x k transposed convolution without bias -> batch norm, called `c` and `bn`.

    (B, in_channels, H, W) -> (B, out_channels, stride H, stride W) for k - stride even.
    """
    conv = nn.ConvTranspose2d(
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding=(kernel_size - stride) // 2,
        bias=False,
    )
    return nn.Sequential(OrderedDict(c=conv, bn=nn.BatchNorm2d(out_channels)))


class Residual(nn.Module):
    """x + m(x); in training a sample goes without m at probability `drop_path`."""

    def __init__(self, m: nn.Module, drop_path: float = 0.0) -> None:
        super().__init__()
        self.m = m
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        y = self.m(x)
        if self.training and self.drop_path > 0:
            kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.drop_path
            y = y * kept / (1 - self.drop_path)
        return x + y


class FeedForward(nn.Module):
    """1 x 1 to twice the channels, 1 x 1 back: (B, channels, H, W) -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pw1 = conv_norm(channels, 2 * channels, 1)
        self.act = nn.ReLU(inplace=True)
        self.pw2 = conv_norm(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pw2(self.act(self.pw1(x)))


def local_and_mixing(channels: int, drop_path: float) -> list[nn.Module]:
    """The outer half of a block: a depthwise 3 x 3 convolution, then a feed-forward net.

    The zeros around the convolution are the only position code of the net (section 3.3).
    """
    depthwise = conv_norm(channels, channels, 3, groups=channels)
    return [Residual(depthwise, drop_path), Residual(FeedForward(channels), drop_path)]


class SqueezeExcite(nn.Module):
    """One gate per channel from its global mean: (B, channels, H, W) -> the same."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, hidden, 1)
        self.act = nn.ReLU(inplace=True)
        self.conv_expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.act(self.conv_reduce(functional.adaptive_avg_pool2d(x, 1)))
        return x * torch.sigmoid(self.conv_expand(gate))


class PatchMerging(nn.Module):
    """Inverted bottleneck with stride 2: (B, in, H, W) -> (B, out, H / 2, W / 2)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        hidden = 4 * in_channels
        self.conv1 = conv_norm(in_channels, hidden, 1)
        self.act = nn.ReLU(inplace=True)
        self.conv2 = conv_norm(hidden, hidden, 3, 2, groups=hidden)
        self.se = SqueezeExcite(hidden, in_channels)
        self.conv3 = conv_norm(hidden, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.conv2(self.act(self.conv1(x))))
        return self.conv3(self.se(x))
