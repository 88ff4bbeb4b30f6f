"""Lightweight OpenPose (arXiv 1811.12004): heatmaps and part affinity fields from a MobileNet.

The backbone is MobileNet v1 up to conv5_5 at stride 8: conv4_2 does not stride, its successor is
dilated instead (section 4.1). An initial stage estimates, refinement stages estimate again, seeing
what was estimated before (section 4.2). Names of layers are the original project's.
"""

import torch
from torch import Tensor, nn

from models_src.layers.conv import conv_bn

INITIAL_HIDDEN = 512
REFINEMENT_BLOCKS = 5
STRIDE = 8


def conv_bn_relu(in_channels: int, out_channels: int, dilation: int = 1) -> nn.Sequential:
    """3 x 3 convolution *with* bias -> batch norm -> ReLU, of the same resolution."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=dilation, dilation=dilation),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def conv_relu(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    """k x k convolution with bias -> ReLU, of the same resolution."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2),
        nn.ReLU(inplace=True),
    )


def depthwise_separable(
    in_channels: int, out_channels: int, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    """3 x 3 depthwise, 1 x 1 pointwise, each with norm and ReLU.

    (B, in_channels, H, W) -> (B, out_channels, H / stride, W / stride)
    """
    return nn.Sequential(
        nn.Conv2d(
            in_channels,
            in_channels,
            3,
            stride,
            padding=dilation,
            dilation=dilation,
            groups=in_channels,
            bias=False,
        ),
        nn.BatchNorm2d(in_channels),
        nn.ReLU(inplace=True),
        *conv_bn(in_channels, out_channels, 1, activation=nn.ReLU),
    )


def depthwise_separable_elu(channels: int) -> nn.Sequential:
    """3 x 3 depthwise, 1 x 1 pointwise, each with ELU and no norm: (B, channels, H, W) -> same."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
        nn.ELU(inplace=True),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.ELU(inplace=True),
    )


def mobilenet() -> nn.Sequential:
    """(B, 3, H, W) -> (B, 512, H / 8, W / 8)."""
    return nn.Sequential(
        conv_bn(3, 32, 3, 2, activation=nn.ReLU),
        depthwise_separable(32, 64),
        depthwise_separable(64, 128, stride=2),
        depthwise_separable(128, 128),
        depthwise_separable(128, 256, stride=2),
        depthwise_separable(256, 256),
        depthwise_separable(256, 512),  # conv4_2, without MobileNet's stride
        depthwise_separable(512, 512, dilation=2),
        *(depthwise_separable(512, 512) for _ in range(4)),  # up to conv5_5
    )


class FeatureReduction(nn.Module):
    """From the backbone's width to that of the stages: (B, in, h, w) -> (B, channels, h, w)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.align = conv_relu(in_channels, channels, 1)
        self.trunk = nn.Sequential(*(depthwise_separable_elu(channels) for _ in range(3)))
        self.conv = conv_relu(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.align(x)
        return self.conv(x + self.trunk(x))


class Stage(nn.Module):
    """A trunk that both predictors share: (B, in, h, w) -> heatmaps (B, K + 1, h, w), fields."""

    def __init__(
        self, trunk: nn.Sequential, channels: int, hidden: int, heatmaps: int, fields: int
    ) -> None:
        super().__init__()

        def predictor(out_channels: int) -> nn.Sequential:
            return nn.Sequential(
                conv_relu(channels, hidden, 1), nn.Sequential(nn.Conv2d(hidden, out_channels, 1))
            )

        self.trunk = trunk
        self.heatmaps = predictor(heatmaps)
        self.pafs = predictor(fields)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.trunk(x)
        return self.heatmaps(x), self.pafs(x)


class RefinementBlock(nn.Module):
    """What replaces one 7 x 7 convolution of OpenPose: 1 x 1, then 3 x 3 and dilated 3 x 3.

    (B, in_channels, h, w) -> (B, channels, h, w)
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.initial = conv_relu(in_channels, channels, 1)
        self.trunk = nn.Sequential(
            conv_bn_relu(channels, channels), conv_bn_relu(channels, channels, dilation=2)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.initial(x)
        return x + self.trunk(x)


def initial_stage(channels: int, heatmaps: int, fields: int) -> Stage:
    """Three plain convolutions before the predictors."""
    trunk = nn.Sequential(*(conv_relu(channels, channels, 3) for _ in range(3)))
    return Stage(trunk, channels, INITIAL_HIDDEN, heatmaps, fields)


def refinement_stage(channels: int, heatmaps: int, fields: int) -> Stage:
    """Feature and former estimates, concatenated, through five blocks."""
    first = RefinementBlock(channels + heatmaps + fields, channels)
    rest = (RefinementBlock(channels, channels) for _ in range(REFINEMENT_BLOCKS - 1))
    return Stage(nn.Sequential(first, *rest), channels, channels, heatmaps, fields)


class LightweightOpenPose(nn.Module):
    """Image (B, 3, H, W) -> heatmaps and part affinity fields of every stage, the best ones last.

    heatmaps0, pafs0, heatmaps1, pafs1, ...: (B, K + 1, H / 8, W / 8), the last map being the
    background's, and (B, 2 L, H / 8, W / 8), x and y of each of the L limbs.
    """

    def __init__(self, keypoints: int, limbs: int, channels: int, refinement_stages: int) -> None:
        super().__init__()
        heatmaps, fields = keypoints + 1, 2 * limbs
        self.model = mobilenet()
        self.cpm = FeatureReduction(512, channels)
        self.initial_stage = initial_stage(channels, heatmaps, fields)
        self.refinement_stages = nn.ModuleList(
            refinement_stage(channels, heatmaps, fields) for _ in range(refinement_stages)
        )
        self._init_weights()

    def _init_weights(self) -> None:
        # Half of the layers have no norm: without it, PyTorch's own initialisation would let the
        # image's signal fade until only biases are left.
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        feature = self.cpm(self.model(image))
        estimates = self.initial_stage(feature)
        outputs = [*estimates]
        for stage in self.refinement_stages:
            estimates = stage(torch.cat([feature, *estimates], dim=1))
            outputs += estimates
        return tuple(outputs)


def lightweight_openpose(
    input_height: int = 368,
    input_width: int = 368,
    keypoints: int = 18,
    limbs: int = 19,
    channels: int = 128,
    refinement_stages: int = 1,
) -> LightweightOpenPose:
    """Build a Lightweight OpenPose from plain numbers.

    Args:
        input_height: pixels, a multiple of 8.
        input_width: the same.
        keypoints: K without the background: COCO's 17 and the neck.
        limbs: L, pairs of key points with a field between them.
        channels: width of the stages.
        refinement_stages: the paper keeps one.
    """
    if input_height % STRIDE or input_width % STRIDE:
        raise ValueError(
            f"the input must be a multiple of {STRIDE} on both sides: {input_height}x{input_width}"
        )
    return LightweightOpenPose(keypoints, limbs, channels, refinement_stages)
