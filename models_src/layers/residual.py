"""The residual blocks of ResNet (arXiv 1512.03385, figures 3 and 5), as HRNet uses them."""

from torch import Tensor, nn

from models_src.layers.conv import conv_bn


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions around a residual: (B, channels, H, W) -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + x)


class Bottleneck(nn.Module):
    """1 x 1 down, 3 x 3, 1 x 1 up to four times `width`, around a residual.

    The 3 x 3 convolution strides, as in PyTorch's ResNet and in MMPose's "pytorch" style.

    (B, in_channels, H, W) -> (B, 4 width, H / stride, W / stride)
    """

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        out_channels = self.expansion * width
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        same_shape = stride == 1 and in_channels == out_channels
        self.downsample = None if same_shape else conv_bn(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


def bottlenecks(in_channels: int, width: int, blocks: int, stride: int = 1) -> nn.Sequential:
    """One stage of a ResNet; its first block strides and widens to four times `width`."""
    first = Bottleneck(in_channels, width, stride)
    rest = (Bottleneck(Bottleneck.expansion * width, width) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)
