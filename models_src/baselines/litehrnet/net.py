"""Lite-HRNet (arXiv 2104.06403): HRNet's parallel branches with conditional channel weighting.

Every size is fixed at construction and half of the one before, so that pooling to the size of the
smallest branch is pooling with a fixed kernel, and the exported graph holds no shape arithmetic.
Names of layers are MMPose's.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models_src.baselines.litehrnet.blocks import (
    ConditionalChannelWeighting,
    ConvModule,
    Size,
    Stem,
    depthwise,
)
from models_src.layers.conv import conv_bn
from models_src.layers.heatmap_head import HeatmapHead
from models_src.layers.high_resolution import raise_resolution

STEM_CHANNELS = 32
STEM_STRIDE = 4
LOWEST_STRIDE = 32


def separable(
    in_channels: int, out_channels: int, stride: int = 1, *, activation: bool = True
) -> nn.Sequential:
    """3 x 3 depthwise and 1 x 1 convolution, both with norm [, ReLU].

    (B, in_channels, H, W) -> (B, out_channels, H / stride, W / stride)
    """
    return nn.Sequential(
        *conv_bn(in_channels, in_channels, 3, stride, groups=in_channels),
        *conv_bn(in_channels, out_channels, 1, activation=nn.ReLU if activation else None),
    )


def lower_resolution(in_channels: int, out_channels: int, steps: int) -> nn.Sequential:
    """(B, in, H, W) -> (B, out, H / 2^steps, W / 2^steps): the last convolution widens."""
    before = (separable(in_channels, in_channels, 2) for _ in range(steps - 1))
    return nn.Sequential(*before, separable(in_channels, out_channels, 2, activation=False))


def exchange(channels: Sequence[int], target: int) -> nn.ModuleList:
    """What brings every branch to the resolution and width of branch `target`."""

    def path(source: int) -> nn.Module:
        if source == target:
            return nn.Identity()
        change = raise_resolution if source > target else lower_resolution
        return change(channels[source], channels[target], abs(source - target))

    return nn.ModuleList(path(source) for source in range(len(channels)))


class LiteHighResolutionModule(nn.Module):
    """Blocks of conditional channel weighting, then each branch gets the sum of all, resampled.

    A list of (B, channels[i], H / 2^i, W / 2^i) -> the same
    """

    def __init__(
        self, channels: Sequence[int], sizes: Sequence[Size], blocks: int, reduction: int
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(ConditionalChannelWeighting(channels, sizes, reduction) for _ in range(blocks))
        )
        self.fuse_layers = nn.ModuleList(
            exchange(channels, target) for target in range(len(channels))
        )

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        # Two slips of the original code, which its weights were trained with: the first branch
        # enters every sum twice; and as its own sum is made in place, the sums of the others are
        # given that one instead of the branch.
        first, *others = self.layers(branches)
        first = fuse(self.fuse_layers[0], [first, *others])
        lower = [fuse(paths, [first, *others]) for paths in self.fuse_layers[1:]]
        return [torch.relu(x) for x in (first, *lower)]


def fuse(paths: nn.ModuleList, branches: Sequence[Tensor]) -> Tensor:
    """The sum of all branches, each through its path, the first one twice."""
    first, *rest = (path(x) for path, x in zip(paths, branches, strict=True))
    total = first + first
    for part in rest:
        total = total + part
    return total


def transition(before: Sequence[int], after: Sequence[int]) -> nn.ModuleList:
    """From the branches of one stage to those of the next, which has one more at half the size."""
    kept = (
        nn.Identity() if source == target else separable(source, target)
        for source, target in zip(before, after, strict=False)
    )
    return nn.ModuleList([*kept, nn.Sequential(separable(before[-1], after[-1], 2))])


def widen(paths: nn.ModuleList, branches: Sequence[Tensor]) -> list[Tensor]:
    """Apply a transition: the new branch grows from the last one."""
    return [path(x) for path, x in zip(paths, [*branches, branches[-1]], strict=True)]


class SeparableConv(nn.Module):
    """3 x 3 depthwise, then 1 x 1 with ReLU: (B, in, H, W) -> (B, out, H, W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.depthwise_conv = depthwise(in_channels)
        self.pointwise_conv = ConvModule(in_channels, out_channels, activation=nn.ReLU)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise_conv(self.depthwise_conv(x))


class IterativeHead(nn.Module):
    """From the smallest branch up, each is added to the next larger one.

    A list of (B, channels[i], H / 2^i, W / 2^i) -> (B, channels[0], H, W)
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        sources = list(reversed(channels))
        targets = [*sources[1:], sources[-1]]
        self.projects = nn.ModuleList(map(SeparableConv, sources, targets))

    def forward(self, branches: Sequence[Tensor]) -> Tensor:
        smallest, *larger = reversed(branches)
        first, *rest = self.projects
        x = first(smallest)
        for branch, project in zip(larger, rest, strict=True):
            x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)
            x = project(branch + x)
        return x


class LiteHRNetBackbone(nn.Module):
    """(B, 3, H, W) -> (B, channels[0], H / 4, W / 4), from two, three, then four branches."""

    def __init__(
        self,
        height: int,
        width: int,
        stage_modules: Sequence[int],
        channels: Sequence[int],
        blocks: int,
        reduction: int,
    ) -> None:
        super().__init__()
        strides = [STEM_STRIDE * 2**branch for branch in range(len(channels))]
        sizes = [(height // stride, width // stride) for stride in strides]
        n2, n3, n4 = stage_modules

        def stage(branches: int, modules: int) -> nn.Sequential:
            return nn.Sequential(
                *(
                    LiteHighResolutionModule(
                        channels[:branches], sizes[:branches], blocks, reduction
                    )
                    for _ in range(modules)
                )
            )

        self.stem = Stem(STEM_CHANNELS, sizes[0])
        self.transition0 = transition([STEM_CHANNELS], channels[:2])
        self.stage0 = stage(2, n2)
        self.transition1 = transition(channels[:2], channels[:3])
        self.stage1 = stage(3, n3)
        self.transition2 = transition(channels[:3], channels)
        self.stage2 = stage(4, n4)
        self.head_layer = IterativeHead(channels)

    def forward(self, image: Tensor) -> Tensor:
        branches = self.stage0(widen(self.transition0, [self.stem(image)]))
        branches = self.stage1(widen(self.transition1, branches))
        branches = self.stage2(widen(self.transition2, branches))
        return self.head_layer(branches)


class LiteHRNet(nn.Module):
    """Crop of one person (B, 3, H, W) -> heatmaps (B, K, H / 4, W / 4)."""

    def __init__(self, backbone: LiteHRNetBackbone, head: HeatmapHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.backbone(image))


def litehrnet(
    stage_modules: Sequence[int],
    input_height: int = 256,
    input_width: int = 192,
    keypoints: int = 17,
    channels: Sequence[int] = (40, 80, 160, 320),
    blocks: int = 2,
    reduction: int = 8,
) -> LiteHRNet:
    """Build a Lite-HRNet from plain numbers, with PyTorch's default initialisation.

    Args:
        stage_modules: modules in stages 2, 3 and 4; 3, 8, 3 make Lite-HRNet-30.
        input_height: pixels, a multiple of 32: only then is every branch half the one before.
        input_width: the same.
        keypoints: K, 17 for COCO and 16 for MPII.
        channels: widths of the four branches.
        blocks: conditional channel weightings per module.
        reduction: of the hidden channels in the cross-resolution weights.
    """
    if input_height % LOWEST_STRIDE or input_width % LOWEST_STRIDE:
        raise ValueError(
            f"the input must be a multiple of {LOWEST_STRIDE} on both sides: "
            f"{input_height}x{input_width}"
        )
    backbone = LiteHRNetBackbone(
        input_height, input_width, stage_modules, channels, blocks, reduction
    )
    return LiteHRNet(backbone, HeatmapHead(channels[0], keypoints))
