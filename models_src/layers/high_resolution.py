"""HRNet's module: parallel branches at strides s, 2 s, 4 s, ... that exchange what they see.

HRNet (arXiv 1902.09212), section 3. HigherHRNet, EfficientHRNet and HRNet are chains of it.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from models_src.layers.conv import conv_bn
from models_src.layers.residual import BasicBlock


def lower_resolution(in_channels: int, out_channels: int, steps: int) -> nn.Sequential:
    """(B, in, H, W) -> (B, out, H / 2^steps, W / 2^steps): the last convolution widens."""
    widths = [in_channels] * (steps - 1) + [out_channels]
    return nn.Sequential(
        *(
            conv_bn(in_channels, width, 3, 2, activation=nn.ReLU if index + 1 < steps else None)
            for index, width in enumerate(widths)
        )
    )


def raise_resolution(in_channels: int, out_channels: int, steps: int) -> nn.Sequential:
    """(B, in, H, W) -> (B, out, 2^steps H, 2^steps W), nearest neighbour."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.Upsample(scale_factor=float(2**steps), mode="nearest"),
    )


def exchange(sources: Sequence[int], target: int) -> nn.ModuleList:
    """What brings every branch to the resolution and width of branch `target`."""

    def path(source: int) -> nn.Module:
        if source == target:
            return nn.Identity()
        change = raise_resolution if source > target else lower_resolution
        return change(sources[source], sources[target], abs(source - target))

    return nn.ModuleList(path(source) for source in range(len(sources)))


def refinement(channels: int, blocks: int) -> nn.Sequential:
    """What a branch does by itself: residual blocks, or one plain convolution in place of none.

    (B, channels, H, W) -> the same
    """
    if blocks == 0:
        return conv_bn(channels, channels, 3, activation=nn.ReLU6)
    return nn.Sequential(*(BasicBlock(channels) for _ in range(blocks)))


class HighResolutionModule(nn.Module):
    """Refinement on every branch, then each branch gets the sum of all, resampled.

    A list of (B, channels[i], H / 2^i, W / 2^i) -> the same list; with `only_highest` just its
    first entry. `blocks` is one number for all branches, or one for each.
    """

    def __init__(
        self,
        channels: Sequence[int],
        blocks: int | Sequence[int],
        *,
        only_highest: bool = False,
    ) -> None:
        super().__init__()
        depths = [blocks] * len(channels) if isinstance(blocks, int) else blocks
        self.branches = nn.ModuleList(
            refinement(width, depth) for width, depth in zip(channels, depths, strict=True)
        )
        targets = range(1 if only_highest else len(channels))
        self.fuse_layers = nn.ModuleList(exchange(channels, target) for target in targets)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        seen = [branch(x) for branch, x in zip(self.branches, features, strict=True)]
        return [self.relu(fuse(paths, seen)) for paths in self.fuse_layers]


def fuse(paths: nn.ModuleList, features: Sequence[Tensor]) -> Tensor:
    """The sum of all features, each through its path, the highest resolution first."""
    first, *rest = (path(x) for path, x in zip(paths, features, strict=True))
    for part in rest:
        first = first + part
    return first


def high_resolution_stage(
    channels: Sequence[int],
    modules: int,
    blocks: int | Sequence[int],
    *,
    only_highest: bool = False,
) -> nn.Sequential:
    """`modules` in a row; `only_highest` holds for the last one."""
    return nn.Sequential(
        *(
            HighResolutionModule(
                channels, blocks, only_highest=only_highest and index + 1 == modules
            )
            for index in range(modules)
        )
    )
