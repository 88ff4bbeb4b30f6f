"""HRNet for one person (arXiv 1902.09212): the high-resolution backbone and one heatmap a joint."""

from torch import Tensor, nn

from models_src.layers.heatmap_head import HeatmapHead
from models_src.layers.hrnet import HRNet


class TopDownHRNet(nn.Module):
    """Image (B, 3, H, W) -> heatmaps (B, K, H / 4, W / 4), H and W multiples of 32."""

    def __init__(self, width: int, keypoints: int) -> None:
        super().__init__()
        self.backbone = HRNet(width)
        self.head = HeatmapHead(width, keypoints)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.backbone(image))


def hrnet(width: int, keypoints: int = 17) -> TopDownHRNet:
    """Build a top-down HRNet.

    Args:
        width: channels of the highest resolution; each lower one doubles them (section 3).
        keypoints: K, 17 for COCO, 16 for MPII and 14 for CrowdPose.
    """
    return TopDownHRNet(width, keypoints)
