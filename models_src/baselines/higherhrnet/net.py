"""HigherHRNet (arXiv 1908.10357): HRNet's feature, and beside it one of twice the resolution."""

from collections.abc import Sequence

from torch import Tensor

from models_src.layers.associative_head import (
    associative_deconv_layers,
    associative_final_layers,
    associative_outputs,
)
from models_src.layers.conv import init_convs_normal
from models_src.layers.hrnet import FULL_DEPTH, HRNet


class HigherHRNet(HRNet):
    """Image (B, 3, H, W) -> (out0, out1), H and W multiples of 32.

    out0 (B, 2 K, H / 4, W / 4): K heatmaps, then K associative-embedding tag maps;
    out1 (B, K, H / 2, W / 2): heatmaps only.

    An HRNet and not a net that holds one: the original code keeps backbone and head on one level.
    """

    def __init__(
        self,
        width: int,
        keypoints: int,
        stem_width: int,
        blocks: Sequence[Sequence[int]],
        deconv_channels: int,
        deconv_blocks: int,
    ) -> None:
        super().__init__(width, stem_width, blocks)
        self.final_layers = associative_final_layers(width, keypoints, deconv_channels)
        self.deconv_layers = associative_deconv_layers(
            width, keypoints, deconv_blocks, deconv_channels
        )
        init_convs_normal(self.final_layers)
        init_convs_normal(self.deconv_layers)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return associative_outputs(super().forward(image), self.final_layers, self.deconv_layers)


def higherhrnet(
    width: int,
    keypoints: int = 17,
    stem_width: int = 64,
    blocks: Sequence[Sequence[int]] = FULL_DEPTH,
    deconv_channels: int = 32,
    deconv_blocks: int = 4,
) -> HigherHRNet:
    """Build a HigherHRNet from plain numbers.

    Args:
        width: channels of the highest resolution; each lower one doubles them.
        keypoints: K, 17 for COCO and 14 for CrowdPose.
        stem_width: of the bottlenecks before the branches. The paper has 64 throughout; LitePose's
            code has 2 `width` in its small nets.
        blocks: residual blocks of every branch of stages 2, 3 and 4, highest resolution first.
            Fewer of them in the first branches is LitePose's gradual shrinking (arXiv 2205.01271,
            section 3.2); where its text says 0, its code has one 3 x 3 convolution with batch norm
            and ReLU6, and only with it do the nets cost what the text prints.
        deconv_channels: of the feature of twice the resolution.
        deconv_blocks: residual blocks on it. The paper has 4; LitePose's small nets have none.
    """
    return HigherHRNet(width, keypoints, stem_width, blocks, deconv_channels, deconv_blocks)
