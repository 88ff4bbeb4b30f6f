"""HigherHRNet's head (arXiv 1908.10357, section 3.3): heatmaps and tags, then finer heatmaps.

A 1 x 1 convolution predicts K heatmaps and K tag maps at the feature's own resolution; feature and
prediction together are deconvolved to twice the size and refined, for K finer heatmaps.

The parts are functions and not a module: the original nets hold them at their top level, and the
keys of their checkpoints say so.
"""

import torch
from torch import Tensor, nn

from models_src.layers.conv import upsampling
from models_src.layers.residual import BasicBlock


def associative_final_layers(
    channels: int, keypoints: int, deconv_channels: int | None = None
) -> nn.ModuleList:
    """The two predictors: of heatmaps and tags, and of finer heatmaps."""
    return nn.ModuleList(
        [
            nn.Conv2d(channels, 2 * keypoints, 1),
            nn.Conv2d(deconv_channels or channels, keypoints, 1),
        ]
    )


def associative_deconv_layers(
    channels: int, keypoints: int, blocks: int, deconv_channels: int | None = None
) -> nn.ModuleList:
    """From feature and first prediction, concatenated, to a feature of twice the resolution."""
    width = deconv_channels or channels
    return nn.ModuleList(
        [
            nn.Sequential(
                nn.Sequential(
                    upsampling(channels + 2 * keypoints, width),
                    nn.BatchNorm2d(width),
                    nn.ReLU(inplace=True),
                ),
                *(nn.Sequential(BasicBlock(width)) for _ in range(blocks)),
            )
        ]
    )


def associative_outputs(
    feature: Tensor, final_layers: nn.ModuleList, deconv_layers: nn.ModuleList
) -> tuple[Tensor, Tensor]:
    """(B, C, h, w) -> out0 (B, 2 K, h, w): heatmaps, tags; out1 (B, K, 2 h, 2 w): heatmaps."""
    out0 = final_layers[0](feature)
    finer = deconv_layers[0](torch.cat([feature, out0], dim=1))
    return out0, final_layers[1](finer)
