"""RTMDet (arXiv 2212.07784): CSPNeXt backbone, CSPNeXt-PAFPN neck, separated-norm head.

The person detector of the RTMPose pipeline is its `nano` size: one class, 320 x 320, every
spatial convolution depthwise separable, no weights shared between the levels.
"""

import math

import torch
from torch import Tensor, nn

from models_src.layers.conv import ConvNormAct, conv_block, init_convs_kaiming_uniform
from models_src.layers.csp import CSPLayer
from models_src.layers.cspnext import CSPNeXt, scale_blocks

STRIDES = (8, 16, 32)
NECK_BLOCKS = 3
HEAD_CONVS = 2
# Focal-loss prior: at the start every cell holds a person with probability 0.01.
CLASS_PRIOR_BIAS = -math.log((1 - 0.01) / 0.01)

Levels = tuple[Tensor, Tensor, Tensor]


class CSPNeXtPAFPN(nn.Module):
    """Path-aggregation pyramid: top-down, then bottom-up, then one width for all levels.

    (B, c_l, H / s, W / s) for s = 8, 16, 32 -> (B, out_channels, H / s, W / s), the same s
    """

    def __init__(
        self,
        in_channels: tuple[int, int, int],
        out_channels: int,
        blocks: int,
        *,
        depthwise: bool,
    ) -> None:
        super().__init__()
        c3, c4, c5 = in_channels

        def csp(channels_in: int, channels_out: int) -> CSPLayer:
            return CSPLayer(
                channels_in,
                channels_out,
                blocks,
                residual=False,
                attention=False,
                depthwise=depthwise,
            )

        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.reduce_layers = nn.ModuleList([ConvNormAct(c5, c4, 1), ConvNormAct(c4, c3, 1)])
        self.top_down_blocks = nn.ModuleList([csp(2 * c4, c4), csp(2 * c3, c3)])
        self.downsamples = nn.ModuleList(
            conv_block(c, c, 3, stride=2, depthwise=depthwise) for c in (c3, c4)
        )
        self.bottom_up_blocks = nn.ModuleList([csp(2 * c3, c4), csp(2 * c4, c5)])
        self.out_convs = nn.ModuleList(
            conv_block(c, out_channels, 3, depthwise=depthwise) for c in in_channels
        )
        init_convs_kaiming_uniform(self)

    def forward(self, features: Levels) -> Levels:
        stride8, stride16, stride32 = features

        reduced32 = self.reduce_layers[0](stride32)
        inner16 = self.top_down_blocks[0](torch.cat([self.upsample(reduced32), stride16], dim=1))
        reduced16 = self.reduce_layers[1](inner16)
        out8 = self.top_down_blocks[1](torch.cat([self.upsample(reduced16), stride8], dim=1))

        # The way up joins the *reduced* features, not the inputs of the way down.
        out16 = self.bottom_up_blocks[0](torch.cat([self.downsamples[0](out8), reduced16], dim=1))
        out32 = self.bottom_up_blocks[1](torch.cat([self.downsamples[1](out16), reduced32], dim=1))

        return self.out_convs[0](out8), self.out_convs[1](out16), self.out_convs[2](out32)


class RTMDetHead(nn.Module):
    """Two towers per level: class logits, and distances to the four sides of the box.

    3 levels of (B, channels, h, w) -> (cls, cls, cls, reg, reg, reg), with
    cls (B, classes, h, w) as logits and reg (B, 4, h, w) as left, top, right, bottom in input
    pixels.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        depthwise: bool,
        share_conv: bool,
        exp_on_reg: bool,
    ) -> None:
        super().__init__()

        def tower() -> nn.Sequential:
            return nn.Sequential(
                *(conv_block(channels, channels, 3, depthwise=depthwise) for _ in range(HEAD_CONVS))
            )

        def towers() -> nn.ModuleList:
            return nn.ModuleList(tower() for _ in STRIDES)

        def predictors(out_channels: int) -> nn.ModuleList:
            return nn.ModuleList(nn.Conv2d(channels, out_channels, 1) for _ in STRIDES)

        self.cls_convs = towers()
        self.reg_convs = towers()
        self.rtm_cls = predictors(classes)
        self.rtm_reg = predictors(4)
        self.exp_on_reg = exp_on_reg
        if share_conv:
            share_convs_between_levels(self.cls_convs)
            share_convs_between_levels(self.reg_convs)
        self._init_weights()

    def _init_weights(self) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.01)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        for layer in self.rtm_cls:
            nn.init.constant_(layer.bias, CLASS_PRIOR_BIAS)

    def forward(self, features: Levels) -> tuple[Tensor, ...]:
        classes = []
        distances = []
        for level, (feature, stride) in enumerate(zip(features, STRIDES, strict=True)):
            classes.append(self.rtm_cls[level](self.cls_convs[level](feature)))
            distance = self.rtm_reg[level](self.reg_convs[level](feature))
            if self.exp_on_reg:
                distance = distance.exp()
            distances.append(distance * stride)
        return *classes, *distances


def share_convs_between_levels(towers: nn.ModuleList) -> None:
    """Give every level the convolutions of the first; the batch norms stay their own.

    The state_dict keeps one (aliased) entry per level, as in the original checkpoints.
    """
    first, *others = towers
    for tower in others:
        for block, source in zip(tower, first, strict=True):
            block.conv = source.conv


class RTMDet(nn.Module):
    """Image (B, 3, H, W) -> cls at strides 8, 16, 32, then reg at strides 8, 16, 32.

    H and W are multiples of 32.
    """

    def __init__(
        self,
        widen: float,
        deepen: float,
        classes: int,
        *,
        depthwise: bool,
        share_conv: bool,
        exp_on_reg: bool,
    ) -> None:
        super().__init__()
        self.backbone = CSPNeXt(widen, deepen, depthwise=depthwise)
        channels = self.backbone.out_channels
        self.neck = CSPNeXtPAFPN(
            channels, channels[0], scale_blocks(NECK_BLOCKS, deepen), depthwise=depthwise
        )
        self.bbox_head = RTMDetHead(
            channels[0],
            classes,
            depthwise=depthwise,
            share_conv=share_conv,
            exp_on_reg=exp_on_reg,
        )

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.bbox_head(self.neck(self.backbone(image)))


def rtmdet(
    widen: float,
    deepen: float,
    classes: int = 1,
    depthwise: bool = False,
    share_conv: bool = True,
    exp_on_reg: bool = False,
) -> RTMDet:
    """Build an RTMDet from plain numbers.

    Args:
        widen: channel multiplier of CSPNeXt (its widen_factor in the original).
        deepen: block multiplier (deepen_factor).
        classes: 1 for the person detectors, 80 for COCO.
        depthwise: depthwise separable spatial convolutions (`nano` only).
        share_conv: one set of head convolutions for all levels (all but `nano`).
        exp_on_reg: distances are exponentials (`m` and `l`).
    """
    if depthwise and share_conv:
        raise ValueError("share_conv is defined for plain convolutions only, not with depthwise")
    return RTMDet(
        widen, deepen, classes, depthwise=depthwise, share_conv=share_conv, exp_on_reg=exp_on_reg
    )
