"""SimpleBaseline (arXiv 1804.06208): a ResNet, three deconvolutions, one heatmap a joint.

The simplest way from a deep, low-resolution feature map to heatmaps (section 2, figure 1c). Names
of layers are MMPose's.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from models_src.layers.heatmap_head import HeatmapHead
from models_src.layers.resnet import ResNet

BACKBONE_STRIDE = 32


class SimpleBaseline(nn.Module):
    """Crop of one person (B, 3, H, W) -> heatmaps (B, K, H / 4, W / 4)."""

    def __init__(
        self, stage_blocks: Sequence[int], keypoints: int, deconv_channels: Sequence[int]
    ) -> None:
        super().__init__()
        self.backbone = ResNet(stage_blocks)
        self.head = HeatmapHead(self.backbone.out_channels[-1], keypoints, deconv_channels)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.backbone(image)[-1])


def simplebaseline(
    stage_blocks: Sequence[int] = (3, 4, 6, 3),
    input_height: int = 256,
    input_width: int = 192,
    keypoints: int = 17,
    deconv_channels: Sequence[int] = (256, 256, 256),
) -> SimpleBaseline:
    """Build a SimpleBaseline from plain numbers.

    Args:
        stage_blocks: bottlenecks per stage; 3, 4, 6, 3 make ResNet-50.
        input_height: pixels, a multiple of 32.
        input_width: the same.
        keypoints: K, 17 for COCO and 16 for MPII.
        deconv_channels: widths of the head's deconvolutions.
    """
    if input_height % BACKBONE_STRIDE or input_width % BACKBONE_STRIDE:
        raise ValueError(
            f"the input must be a multiple of {BACKBONE_STRIDE} on both sides: "
            f"{input_height}x{input_width}"
        )
    return SimpleBaseline(stage_blocks, keypoints, deconv_channels)
