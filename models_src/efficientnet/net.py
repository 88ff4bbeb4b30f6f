"""EfficientNet (arXiv 1905.11946) as a classifier, down to the compact sizes of EfficientHRNet.

EfficientHRNet (arXiv 2007.08090), section 3.2.1 and table 2: B-1 to B-4 are trained on ImageNet and
become backbones. Their names for the shared layers are the same, `features.N`.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from models_src.layers.efficientnet import conv_bn_swish, efficientnet_blocks, init_efficientnet


class EfficientNet(nn.Module):
    """Image (B, 3, H, W) -> logits (B, classes)."""

    def __init__(
        self,
        stem_channels: int,
        stage_channels: Sequence[int],
        stage_blocks: Sequence[int],
        head_channels: int,
        classes: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *efficientnet_blocks(stem_channels, stage_channels, stage_blocks),
            conv_bn_swish(stage_channels[-1], head_channels, 1),
        )
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(head_channels, classes))
        init_efficientnet(self)

    def forward(self, image: Tensor) -> Tensor:
        means = nn.functional.adaptive_avg_pool2d(self.features(image), 1).flatten(1)
        return self.classifier(means)


def efficientnet(
    stem_channels: int,
    stage_channels: Sequence[int],
    stage_blocks: Sequence[int],
    head_channels: int,
    classes: int = 1000,
    dropout: float = 0.2,
) -> EfficientNet:
    """Build an EfficientNet from plain numbers.

    Args:
        stem_channels: channels at stride 2.
        stage_channels: of the seven stages, at strides 2, 4, 8, 16, 16, 32, 32.
        stage_blocks: MBConv blocks per stage.
        head_channels: of the 1 x 1 convolution before the pooling.
        classes: 1000 for ImageNet.
        dropout: before the classifier, while training.
    """
    return EfficientNet(
        stem_channels, stage_channels, stage_blocks, head_channels, classes, dropout
    )
