"""LitePose (arXiv 2205.01271): one branch, large kernels, fusion deconv head.

A MobileNetV2-like chain of 7 x 7 inverted bottlenecks (section 3.4) and a head that grows the
last feature back up, merging it with the earlier stages on the way (section 3.3, figure 4).
"""

from collections.abc import Sequence

from torch import Tensor, nn

from models_src.layers.channels import round_channels
from models_src.layers.conv import conv_bn, upsampling

STEM_WIDTH = 32
STAGE_STRIDES = (2, 2, 2, 1)
HEAD_KERNEL_SIZE = 5


class InvertedBottleneck(nn.Module):
    """1 x 1 up, depthwise k x k, 1 x 1 down without activation; residual where shapes allow.

    (B, in, H, W) -> (B, out, H / stride, W / stride)
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, kernel_size: int, expansion: float
    ) -> None:
        super().__init__()
        hidden = round_channels(round(in_channels * expansion))
        self.inv = conv_bn(in_channels, hidden, 1, activation=nn.ReLU6)
        self.depth_conv = conv_bn(
            hidden, hidden, kernel_size, stride, groups=hidden, activation=nn.ReLU6
        )
        self.point_conv = conv_bn(hidden, out_channels, 1)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.point_conv(self.depth_conv(self.inv(x)))
        return y + x if self.residual else y


def stem(channels: int) -> nn.Sequential:
    """(B, 3, H, W) -> (B, channels, H / 2, W / 2), linear."""
    return nn.Sequential(
        conv_bn(3, STEM_WIDTH, 3, stride=2, activation=nn.ReLU6),
        conv_bn(STEM_WIDTH, STEM_WIDTH, 3, groups=STEM_WIDTH, activation=nn.ReLU6),
        *conv_bn(STEM_WIDTH, channels, 1),
    )


def stage(
    in_channels: int,
    out_channels: int,
    blocks: int,
    stride: int,
    kernel_size: int,
    expansion: float,
) -> nn.Sequential:
    """`blocks` bottlenecks, the first of which strides."""
    first = InvertedBottleneck(in_channels, out_channels, stride, kernel_size, expansion)
    rest = (
        InvertedBottleneck(out_channels, out_channels, 1, kernel_size, expansion)
        for _ in range(blocks - 1)
    )
    return nn.Sequential(first, *rest)


class SeparableHead(nn.Module):
    """Depthwise 5 x 5, then 1 x 1 to the output maps: (B, in, h, w) -> (B, out, h, w)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            *conv_bn(
                in_channels, in_channels, HEAD_KERNEL_SIZE, groups=in_channels, activation=nn.ReLU
            ),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class LitePose(nn.Module):
    """Image (B, 3, H, W) -> (out0, out1), H and W multiples of 16.

    out0 (B, 2 K, H / 4, W / 4): K heatmaps, then K associative-embedding tag maps;
    out1 (B, K, H / 2, W / 2): heatmaps only.
    """

    def __init__(
        self,
        stem_channels: int,
        stage_channels: Sequence[int],
        stage_blocks: Sequence[int],
        deconv_channels: Sequence[int],
        keypoints: int,
        kernel_size: int,
        expansion: float,
        *,
        fusion: bool,
    ) -> None:
        super().__init__()
        self.fusion = fusion
        c0 = stem_channels
        c1, c2, c3, c4 = stage_channels
        f0, f1, f2 = deconv_channels

        self.first = stem(c0)
        self.stage = nn.ModuleList(
            stage(in_channels, out_channels, blocks, stride, kernel_size, expansion)
            for in_channels, out_channels, blocks, stride in zip(
                (c0, c1, c2, c3), stage_channels, stage_blocks, STAGE_STRIDES, strict=True
            )
        )
        # Figure 4 concatenates the two features and deconvolves once; the sum of two
        # deconvolutions is the same function, and it is how the weights are stored.
        self.deconv_refined = nn.ModuleList(
            [upsampling(c4, f0), upsampling(f0, f1), upsampling(f1, f2)]
        )
        self.deconv_raw = nn.ModuleList(
            [upsampling(c3, f0), upsampling(c2, f1), upsampling(c1, f2)] if fusion else []
        )
        self.deconv_bnrelu = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(f), nn.ReLU(inplace=True)) for f in (f0, f1, f2)
        )
        self.final_refined = nn.ModuleList(
            [SeparableHead(f1, 2 * keypoints), SeparableHead(f2, keypoints)]
        )
        self.final_raw = nn.ModuleList(
            [SeparableHead(c1, 2 * keypoints), SeparableHead(c0, keypoints)] if fusion else []
        )

    def _grow(self, step: int, refined: Tensor, raw: Tensor) -> Tensor:
        """One step of the head: the feature twice as large, merged with the earlier stage's."""
        grown = self.deconv_refined[step](refined)
        if self.fusion:
            grown = grown + self.deconv_raw[step](raw)
        return self.deconv_bnrelu[step](grown)

    def _predict(self, scale: int, refined: Tensor, raw: Tensor) -> Tensor:
        maps = self.final_refined[scale](refined)
        return maps + self.final_raw[scale](raw) if self.fusion else maps

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x0 = self.first(image)  # stride 2
        x1 = self.stage[0](x0)  # stride 4
        x2 = self.stage[1](x1)  # stride 8
        x3 = self.stage[2](x2)  # stride 16
        x4 = self.stage[3](x3)  # stride 16

        refined = self._grow(0, x4, x3)  # stride 8
        refined = self._grow(1, refined, x2)  # stride 4
        out0 = self._predict(0, refined, x1)
        refined = self._grow(2, refined, x1)  # stride 2
        out1 = self._predict(1, refined, x0)
        return out0, out1


def litepose(
    stem_channels: int,
    stage_channels: Sequence[int],
    deconv_channels: Sequence[int],
    stage_blocks: Sequence[int] = (6, 8, 10, 10),
    keypoints: int = 17,
    kernel_size: int = 7,
    expansion: float = 6,
    *,
    fusion: bool = True,
) -> LitePose:
    """Build a LitePose from plain numbers, with PyTorch's default initialisation.

    Args:
        stem_channels: channels at stride 2.
        stage_channels: of the four stages, at strides 4, 8, 16, 16.
        deconv_channels: filters of the three fusion steps, at strides 8, 4, 2.
        stage_blocks: inverted bottlenecks per stage.
        keypoints: K, 17 for COCO and 14 for CrowdPose.
        kernel_size: of the depthwise convolutions (7 is the paper's large kernel).
        expansion: hidden channels per input channel of a bottleneck.
        fusion: whether the head sees the earlier stages ("raw" features); without them it is
            the plain deconvolution head of table 3.
    """
    return LitePose(
        stem_channels,
        stage_channels,
        stage_blocks,
        deconv_channels,
        keypoints,
        kernel_size,
        expansion,
        fusion=fusion,
    )
