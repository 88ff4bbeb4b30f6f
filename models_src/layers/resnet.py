"""ResNet of bottlenecks (arXiv 1512.03385, table 1), the backbone of SimpleBaseline and SimCC."""

from collections.abc import Sequence

from torch import Tensor, nn

from models_src.layers.residual import Bottleneck, bottlenecks

STEM_CHANNELS = 64
STAGE_WIDTHS = (64, 128, 256, 512)


class ResNet(nn.Module):
    """Bottleneck ResNet without its classifier; `stage_blocks` are (3, 4, 6, 3) in ResNet-50.

    (B, 3, H, W) -> the features of stages 2, 3, 4 at strides 8, 16, 32. `out_channels` lists
    their channel counts.
    """

    def __init__(self, stage_blocks: Sequence[int]) -> None:
        super().__init__()
        c1, c2, c3, c4 = (Bottleneck.expansion * width for width in STAGE_WIDTHS)
        w1, w2, w3, w4 = STAGE_WIDTHS
        n1, n2, n3, n4 = stage_blocks
        self.out_channels = (c2, c3, c4)

        self.conv1 = nn.Conv2d(3, STEM_CHANNELS, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = bottlenecks(STEM_CHANNELS, w1, n1)
        self.layer2 = bottlenecks(c1, w2, n2, stride=2)
        self.layer3 = bottlenecks(c2, w3, n3, stride=2)
        self.layer4 = bottlenecks(c3, w4, n4, stride=2)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        stride4 = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(image)))))
        stride8 = self.layer2(stride4)
        stride16 = self.layer3(stride8)
        stride32 = self.layer4(stride16)
        return stride8, stride16, stride32
