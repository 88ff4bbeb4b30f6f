"""The net that RTMPose's backbone is pre-trained in (section 3.2): CSPNeXt and a heatmap head.

Trained with unbiased data processing (UDP): the corner cells of a heatmap lie on the corner
pixels of the input, not `stride` cells apart.
"""

from models_src.layers.cspnext import CSPNeXt
from models_src.layers.heatmap_head import HeatmapHead
from models_src.rtmpose.net import TopDown

DECONV_CHANNELS = (256, 256, 256)


def rtmpose_pretrain(widen: float, deepen: float, keypoints: int = 17) -> TopDown:
    """Build a pre-training net: (B, 3, H, W) -> heatmaps (B, K, H / 4, W / 4).

    Args:
        widen: channel multiplier of CSPNeXt.
        deepen: block multiplier.
        keypoints: K, 17 for COCO; 19 where AI Challenger is mixed in, which adds the head's top
            and the neck.
    """
    backbone = CSPNeXt(widen, deepen)
    return TopDown(backbone, HeatmapHead(backbone.out_channels[-1], keypoints, DECONV_CHANNELS))
