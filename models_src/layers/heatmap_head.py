"""SimpleBaseline's head (arXiv 1804.06208, section 2): deconvolutions, then one heatmap a joint."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from models_src.layers.conv import init_convs_normal, upsampling


class HeatmapHead(nn.Module):
    """(B, in_channels, h, w) -> heatmaps (B, K, 2^n h, 2^n w) for n = len(deconv_channels).

    Without deconvolutions it is a single 1 x 1 convolution, as on HRNet.
    """

    def __init__(
        self, in_channels: int, keypoints: int, deconv_channels: Sequence[int] = ()
    ) -> None:
        super().__init__()
        widths = [in_channels, *deconv_channels]
        self.deconv_layers = nn.Sequential()
        for source, target in pairwise(widths):
            self.deconv_layers.append(upsampling(source, target))
            self.deconv_layers.append(nn.BatchNorm2d(target))
            self.deconv_layers.append(nn.ReLU(inplace=True))
        self.final_layer = nn.Conv2d(widths[-1], keypoints, 1)
        init_convs_normal(self)

    def forward(self, feature: Tensor) -> Tensor:
        return self.final_layer(self.deconv_layers(feature))
