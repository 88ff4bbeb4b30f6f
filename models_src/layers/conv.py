"""Convolutions with their batch norms: the units that all nets are made of.

`conv_bn` is a plain sequence, its keys `0` and `1`. `ConvNormAct` and `DepthwiseSeparableConv` name
their parts as RTMPose and RTMDet do, so that their checkpoints load unchanged.
"""

import math

from torch import Tensor, nn


def conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    *,
    groups: int = 1,
    bias: bool = False,
) -> nn.Conv2d:
    """k x k convolution that keeps the size at stride 1.

    (B, in_channels, H, W) -> (B, out_channels, H / stride, W / stride)
    """
    padding = kernel_size // 2
    return nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=bias
    )


def conv_bn(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    *,
    groups: int = 1,
    activation: type[nn.Module] | None = None,
) -> nn.Sequential:
    """k x k convolution without bias -> batch norm [-> activation].

    (B, in_channels, H, W) -> (B, out_channels, H / stride, W / stride)
    """
    layers: list[nn.Module] = [
        conv(in_channels, out_channels, kernel_size, stride, groups=groups),
        nn.BatchNorm2d(out_channels),
    ]
    if activation is not None:
        layers.append(activation(inplace=True))
    return nn.Sequential(*layers)


def upsampling(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    """Transposed 4 x 4 convolution: (B, in_channels, h, w) -> (B, out_channels, 2 h, 2 w)."""
    return nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False)


class ConvNormAct(nn.Module):
    """k x k convolution without bias -> batch norm -> SiLU.

    (B, in_channels, H, W) -> (B, out_channels, H / stride, W / stride)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.conv = conv(in_channels, out_channels, kernel_size, stride, groups=groups)
        # PyTorch's eps 1e-5 and momentum 0.1: the classes of the original code default to 1e-3
        # and 0.03, but every released configuration overrides them.
        self.bn = nn.BatchNorm2d(out_channels)
        self.activate = nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.activate(self.bn(self.conv(x)))


class DepthwiseSeparableConv(nn.Module):
    """k x k depthwise, then 1 x 1 pointwise; norm and SiLU after both.

    (B, in_channels, H, W) -> (B, out_channels, H / stride, W / stride)
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1
    ) -> None:
        super().__init__()
        self.depthwise_conv = ConvNormAct(
            in_channels, in_channels, kernel_size, stride, groups=in_channels
        )
        self.pointwise_conv = ConvNormAct(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise_conv(self.depthwise_conv(x))


def conv_block(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    *,
    depthwise: bool = False,
) -> ConvNormAct | DepthwiseSeparableConv:
    """The spatial convolution of a net: plain, or depthwise separable in the `nano` size."""
    block = DepthwiseSeparableConv if depthwise else ConvNormAct
    return block(in_channels, out_channels, kernel_size, stride)


def init_convs_kaiming_uniform(module: nn.Module) -> None:
    """Initialise every convolution below `module` as CSPNeXt and its neck do.

    Kaiming uniform with a = sqrt(5) over the fan-in is what PyTorch does by itself; the zero
    bias (of the channel attention) is not.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def init_convs_normal(module: nn.Module) -> None:
    """Initialise every convolution below `module`, transposed ones too, as the HRNets do."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, std=0.001)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
