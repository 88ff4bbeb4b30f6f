"""EfficientViT's attention: cascaded groups within windows (arXiv 2305.07027, section 3.1).

What HEViTPose is compared with in its tables 1, 4 and 6. Here the windows are a dimension of their
own beside the channels. The original code moves them into the batch, which not every runtime has.
"""

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from models_src.hevitpose.layers import conv_norm


class WindowConv(nn.Conv2d):
    """Depthwise k x k convolution of each window by itself, zeros around it.

    (B, channels * windows, side, side) -> the same; all windows of a channel share its kernel.
    """

    def __init__(self, channels: int, kernel_size: int, windows: int) -> None:
        super().__init__(channels, channels, kernel_size, groups=channels, bias=False)
        self.windows = windows

    def forward(self, x: Tensor) -> Tensor:
        kernels = torch.cat([self.weight] * self.windows, dim=1).flatten(0, 1).unsqueeze(1)
        same = self.kernel_size[0] // 2
        return functional.conv2d(x, kernels, padding=same, groups=self.groups * self.windows)


class WindowConvNorm(nn.Module):
    """`WindowConv` -> batch norm: (B, channels, windows, side * side) -> the same."""

    def __init__(self, channels: int, kernel_size: int, windows: int, side: int) -> None:
        super().__init__()
        self.conv_shape = (-1, channels * windows, side, side)
        self.shape = (-1, channels, windows, side * side)
        self.c = WindowConv(channels, kernel_size, windows)
        self.bn = nn.BatchNorm2d(channels)
        # Queries start small. Nothing else bounds the scores of an untrained net: on images unlike
        # those its norms have seen, its attention becomes a hard choice that rounding decides.
        nn.init.constant_(self.bn.weight, 0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.c(x.reshape(self.conv_shape)).reshape(self.shape))


class WindowAttention(nn.Module):
    """A group of channels per head; each sees what the one before it made.

    (B, channels, H, W) -> the same, for one fixed `size` = (H, W), which is padded with zeros to
    whole windows of `side` x `side`. `kernel_sizes` has one depthwise convolution per head.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        key_width: int,
        kernel_sizes: Sequence[int],
        side: int,
    ) -> None:
        super().__init__()
        heads = len(kernel_sizes)
        height, width = size
        self.side = side
        self.value_width = channels // heads
        self.qkv_widths = [key_width, key_width, self.value_width]
        self.scale = 1 / sqrt(key_width)
        self.rows, self.columns = -(-height // side), -(-width // side)
        self.windows = self.rows * self.columns
        self.pad = (self.columns * side - width, self.rows * side - height)
        self.heights = [height, self.pad[1]]
        self.widths = [width, self.pad[0]]

        self.qkvs = nn.ModuleList(
            conv_norm(self.value_width, sum(self.qkv_widths), 1) for _ in range(heads)
        )
        self.dws = nn.ModuleList(
            WindowConvNorm(key_width, kernel_size, self.windows, side)
            for kernel_size in kernel_sizes
        )
        self.proj = nn.Sequential(nn.ReLU(inplace=True), conv_norm(channels, channels, 1))
        # One bias per head and distance between two cells of a window.
        self.attention_biases = nn.Parameter(torch.zeros(heads, side * side))
        cells = [(y, x) for y in range(side) for x in range(side)]
        distances = [abs(y - v) * side + abs(x - u) for y, x in cells for v, u in cells]
        self.register_buffer("distances", torch.tensor(distances), persistent=False)

    def _to_windows(self, x: Tensor, channels: int) -> Tensor:
        """(B, channels, H, W) -> (B, channels, windows, side * side)."""
        x = x.reshape(-1, channels * self.rows, self.side, self.columns, self.side)
        return x.transpose(2, 3).reshape(-1, channels, self.windows, self.side**2)

    def _to_map(self, x: Tensor, channels: int) -> Tensor:
        """(B, channels, windows, side * side) -> (B, channels, H, W)."""
        x = x.reshape(-1, channels * self.rows, self.columns, self.side, self.side)
        shape = (-1, channels, self.rows * self.side, self.columns * self.side)
        return x.transpose(2, 3).reshape(shape)

    def _attend(self, head: int, f: Tensor, bias: Tensor) -> Tensor:
        """One group (B, channels / heads, H, W) -> the same."""
        parts = torch.split(self.qkvs[head](f), self.qkv_widths, dim=1)
        q, k, v = map(self._to_windows, parts, self.qkv_widths)
        q = self.dws[head](q).permute(0, 2, 3, 1)
        scores = torch.matmul(q * self.scale, k.transpose(1, 2)) + bias
        y = torch.matmul(scores.softmax(dim=3), v.permute(0, 2, 3, 1))
        return self._to_map(y.permute(0, 3, 1, 2), self.value_width)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pad(x, (0, self.pad[0], 0, self.pad[1]))
        biases = self.attention_biases.index_select(1, self.distances)
        biases = biases.reshape(-1, self.side**2, self.side**2)
        first, *rest = torch.split(x, self.value_width, dim=1)
        seen = [self._attend(0, first, biases[0])]
        for head, group in enumerate(rest, start=1):
            seen.append(self._attend(head, group + seen[-1], biases[head]))
        y = self.proj(torch.cat(seen, dim=1))
        # Splits rather than slices: one plain operator at every opset.
        y = torch.split(y, self.heights, dim=2)[0]
        return torch.split(y, self.widths, dim=3)[0]
