"""CSPNeXt, the backbone of RTMDet and RTMPose (RTMDet, arXiv 2212.07784, section 3.2).

`widen` multiplies every channel count and `deepen` the blocks of a stage. With both at 1:

    stem    stride 2    32, 32, 64 channels
    stage1  stride 4    128 channels, 3 blocks
    stage2  stride 8    256 channels, 6 blocks
    stage3  stride 16   512 channels, 6 blocks
    stage4  stride 32   1024 channels, 3 blocks, spatial pyramid pooling, no residuals
"""

from torch import Tensor, nn

from models_src.layers.conv import ConvNormAct, conv_block, init_convs_kaiming_uniform
from models_src.layers.csp import CSPLayer, SpatialPyramidPooling

STEM_CHANNELS = 64
STAGE_CHANNELS = (128, 256, 512, 1024)
STAGE_BLOCKS = (3, 6, 6, 3)


def scale_channels(channels: int, widen: float) -> int:
    """The channel count of a net that is `widen` times as wide."""
    return int(channels * widen)


def scale_blocks(blocks: int, deepen: float) -> int:
    """The block count of a net that is `deepen` times as deep: never less than one."""
    return max(round(blocks * deepen), 1)


def stem(channels: int) -> nn.Sequential:
    """Three 3 x 3 convolutions: (B, 3, H, W) -> (B, channels, H / 2, W / 2)."""
    half = channels // 2
    return nn.Sequential(
        ConvNormAct(3, half, 3, stride=2),
        ConvNormAct(half, half, 3),
        ConvNormAct(half, channels, 3),
    )


def stage(
    in_channels: int, out_channels: int, blocks: int, *, last: bool, depthwise: bool
) -> nn.Sequential:
    """Down-sampling and one CSP layer: (B, in, H, W) -> (B, out, H / 2, W / 2)."""
    layers: list[nn.Module] = [
        conv_block(in_channels, out_channels, 3, stride=2, depthwise=depthwise)
    ]
    if last:
        layers.append(SpatialPyramidPooling(out_channels))
    layers.append(
        CSPLayer(
            out_channels,
            out_channels,
            blocks,
            residual=not last,
            attention=True,
            depthwise=depthwise,
        )
    )
    return nn.Sequential(*layers)


class CSPNeXt(nn.Module):
    """(B, 3, H, W) -> the features of stages 2, 3, 4 at strides 8, 16, 32.

    `out_channels` lists their channel counts.
    """

    def __init__(self, widen: float, deepen: float, *, depthwise: bool = False) -> None:
        super().__init__()
        stem_channels = scale_channels(STEM_CHANNELS, widen)
        c1, c2, c3, c4 = (scale_channels(channels, widen) for channels in STAGE_CHANNELS)
        n1, n2, n3, n4 = (scale_blocks(blocks, deepen) for blocks in STAGE_BLOCKS)
        self.out_channels = (c2, c3, c4)

        self.stem = stem(stem_channels)
        self.stage1 = stage(stem_channels, c1, n1, last=False, depthwise=depthwise)
        self.stage2 = stage(c1, c2, n2, last=False, depthwise=depthwise)
        self.stage3 = stage(c2, c3, n3, last=False, depthwise=depthwise)
        self.stage4 = stage(c3, c4, n4, last=True, depthwise=depthwise)
        init_convs_kaiming_uniform(self)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        stride8 = self.stage2(self.stage1(self.stem(image)))
        stride16 = self.stage3(stride8)
        stride32 = self.stage4(stride16)
        return stride8, stride16, stride32
