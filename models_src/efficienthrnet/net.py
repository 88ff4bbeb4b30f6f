"""EfficientHRNet (arXiv 2007.08090): EfficientNet backbone, HRNet's branches, HigherHRNet's head.

Every stage of the high-resolution network adds a branch of half the resolution (section 3.1.2).
Unlike in HRNet it is fed from the backbone, and each branch passes a convolution on its way into
every stage.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from models_src.layers.associative_head import (
    associative_deconv_layers,
    associative_final_layers,
    associative_outputs,
)
from models_src.layers.conv import init_convs_normal
from models_src.layers.efficientnet import EfficientNetFeatures
from models_src.layers.high_resolution import high_resolution_stage

BLOCKS = 2  # residual blocks per branch and module, and after the deconvolution


def transition(in_channels: int, out_channels: int) -> nn.Sequential:
    """Into a branch: (B, in_channels, h, w) -> (B, out_channels, h, w)."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class EfficientHRNet(nn.Module):
    """Image (B, 3, H, W) -> (out0, out1), H and W multiples of 32.

    out0 (B, 2 K, H / 4, W / 4): K heatmaps, then K associative-embedding tag maps;
    out1 (B, K, H / 2, W / 2): heatmaps only.
    """

    def __init__(
        self,
        stem_channels: int,
        stage_channels: Sequence[int],
        stage_blocks: Sequence[int],
        branch_channels: Sequence[int],
        stage_modules: Sequence[int],
        keypoints: int,
    ) -> None:
        super().__init__()
        w1, w2, w3, w4 = branch_channels
        m2, m3, m4 = stage_modules

        self.features = EfficientNetFeatures(stem_channels, stage_channels, stage_blocks)
        c1, c2, c3, c4 = self.features.out_channels

        self.trans1_branch1 = transition(c1, w1)
        self.trans1_branch2 = transition(c2, w2)
        self.stage2 = high_resolution_stage((w1, w2), m2, BLOCKS)

        self.trans2_branch1 = transition(w1, w1)
        self.trans2_branch2 = transition(w2, w2)
        self.trans2_branch3 = transition(c3, w3)
        self.stage3 = high_resolution_stage((w1, w2, w3), m3, BLOCKS)

        self.trans3_branch1 = transition(w1, w1)
        self.trans3_branch2 = transition(w2, w2)
        self.trans3_branch3 = transition(w3, w3)
        self.trans3_branch4 = transition(c4, w4)
        self.stage4 = high_resolution_stage((w1, w2, w3, w4), m4, BLOCKS, only_highest=True)

        self.final_layers = associative_final_layers(w1, keypoints)
        self.deconv_layers = associative_deconv_layers(w1, keypoints, BLOCKS)
        self._init_weights()

    def _init_weights(self) -> None:
        # The backbone keeps its own: the original overwrites that, too, but only to load trained
        # weights into it.
        for name, part in self.named_children():
            if name != "features":
                init_convs_normal(part)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x1, x2, x3, x4 = self.features(image)  # strides 4, 8, 16, 32
        y1, y2 = self.stage2([self.trans1_branch1(x1), self.trans1_branch2(x2)])
        y1, y2, y3 = self.stage3(
            [self.trans2_branch1(y1), self.trans2_branch2(y2), self.trans2_branch3(x3)]
        )
        (feature,) = self.stage4(
            [
                self.trans3_branch1(y1),
                self.trans3_branch2(y2),
                self.trans3_branch3(y3),
                self.trans3_branch4(x4),
            ]
        )
        return associative_outputs(feature, self.final_layers, self.deconv_layers)


def efficienthrnet(
    stem_channels: int,
    stage_channels: Sequence[int],
    stage_blocks: Sequence[int],
    branch_channels: Sequence[int],
    stage_modules: Sequence[int],
    keypoints: int = 17,
) -> EfficientHRNet:
    """Build an EfficientHRNet from plain numbers; `scaling.compound_scaling` makes the paper's.

    Args:
        stem_channels: of the backbone, at stride 2.
        stage_channels: of the backbone's seven stages, at strides 2, 4, 8, 16, 16, 32, 32.
        stage_blocks: MBConv blocks per stage of the backbone.
        branch_channels: of the four branches, at strides 4, 8, 16, 32.
        stage_modules: high-resolution modules in stages 2, 3, 4, of 2, 3, 4 branches.
        keypoints: K, 17 for COCO and 14 for CrowdPose.
    """
    return EfficientHRNet(
        stem_channels, stage_channels, stage_blocks, branch_channels, stage_modules, keypoints
    )
