"""HRNet (arXiv 1902.09212, section 3): from stride 4 on, the high resolution is never left.

    stem      stride 4            64 channels
    layer1    stride 4            4 bottlenecks, 4 `stem_width` channels
    stage 2   strides 4, 8        width, 2 width                        1 module
    stage 3   strides 4, 8, 16    width, 2 width, 4 width               4 modules
    stage 4   strides 4 ... 32    width, 2 width, 4 width, 8 width      3 modules

A stage starts with a new branch, at half of the lowest resolution so far.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from models_src.layers.conv import conv_bn, init_convs_normal
from models_src.layers.high_resolution import high_resolution_stage
from models_src.layers.residual import Bottleneck, bottlenecks

STEM_CHANNELS = 64
LAYER1_BLOCKS = 4
STAGE_MODULES = (1, 4, 3)
FULL_DEPTH = ((4, 4), (4, 4, 4), (4, 4, 4, 4))


def transition(sources: Sequence[int], targets: Sequence[int]) -> nn.ModuleList:
    """Brings the branches to the widths `targets`, the last of which is a new branch's."""
    kept = (
        nn.Identity() if source == target else conv_bn(source, target, 3, activation=nn.ReLU)
        for source, target in zip(sources, targets[:-1], strict=True)
    )
    halved = conv_bn(sources[-1], targets[-1], 3, stride=2, activation=nn.ReLU)
    return nn.ModuleList([*kept, nn.Sequential(halved)])


def add_branch(changes: nn.ModuleList, features: list[Tensor]) -> list[Tensor]:
    """The features of n branches -> of n + 1: the new one sees the lowest of them."""
    sources = [*features, features[-1]]
    return [change(source) for change, source in zip(changes, sources, strict=True)]


class HRNet(nn.Module):
    """Image (B, 3, H, W) -> the highest resolution's feature (B, width, H / 4, W / 4).

    H and W are multiples of 32. `blocks` holds the residual blocks of every branch of stages 2, 3
    and 4 (highest resolution first); `stem_width` is the bottleneck's width before them.
    """

    def __init__(
        self,
        width: int,
        stem_width: int = STEM_CHANNELS,
        blocks: Sequence[Sequence[int]] = FULL_DEPTH,
    ) -> None:
        super().__init__()
        first = [Bottleneck.expansion * stem_width]
        c2, c3, c4 = ([width * 2**branch for branch in range(count)] for count in (2, 3, 4))
        m2, m3, m4 = STAGE_MODULES
        b2, b3, b4 = blocks

        self.conv1 = nn.Conv2d(3, STEM_CHANNELS, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.conv2 = nn.Conv2d(STEM_CHANNELS, STEM_CHANNELS, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(STEM_CHANNELS)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = bottlenecks(STEM_CHANNELS, stem_width, LAYER1_BLOCKS)
        self.transition1 = transition(first, c2)
        self.stage2 = high_resolution_stage(c2, m2, b2)
        self.transition2 = transition(c2, c3)
        self.stage3 = high_resolution_stage(c3, m3, b3)
        self.transition3 = transition(c3, c4)
        self.stage4 = high_resolution_stage(c4, m4, b4, only_highest=True)
        init_convs_normal(self)

    def forward(self, image: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(image)))
        x = self.relu(self.bn2(self.conv2(x)))
        branches = [self.layer1(x)]
        branches = self.stage2(add_branch(self.transition1, branches))
        branches = self.stage3(add_branch(self.transition2, branches))
        branches = self.stage4(add_branch(self.transition3, branches))
        return branches[0]
