"""SimCC (Li et al., 2021) and the baseline that RTMPose makes of it (section 3.1, table 1).

One map per key point, flattened, is classified into the bins of the x axis and of the y axis. The
original head first enlarges the maps with three deconvolutions; the baseline ("SimCC*") leaves
them out, which is where RTMPose starts from.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from models_src.layers.cspnext import CSPNeXt
from models_src.layers.heatmap_head import HeatmapHead
from models_src.layers.resnet import ResNet
from models_src.rtmpose.net import TopDown, feature_size


class SimCCHead(nn.Module):
    """Feature map -> one map per key point -> bins along x and y.

    (B, in_channels, h, w) -> simcc_x (B, K, x_bins), simcc_y (B, K, y_bins)
    """

    def __init__(
        self,
        in_channels: int,
        keypoints: int,
        feature_height: int,
        feature_width: int,
        x_bins: int,
        y_bins: int,
        *,
        deconv_channels: Sequence[int],
    ) -> None:
        super().__init__()
        cells = feature_height * feature_width * 4 ** len(deconv_channels)
        self.map_shape = (-1, keypoints, cells)
        # As in the original code, the 1 x 1 convolution stands in a heatmap head of its own if
        # there are deconvolutions before it.
        self.deconv_head = (
            HeatmapHead(in_channels, keypoints, deconv_channels) if deconv_channels else None
        )
        self.final_layer = None if deconv_channels else nn.Conv2d(in_channels, keypoints, 1)
        self.mlp_head_x = nn.Linear(cells, x_bins)
        self.mlp_head_y = nn.Linear(cells, y_bins)
        self._init_weights()

    def _init_weights(self) -> None:
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                nn.init.normal_(layer.weight, std=0.01 if isinstance(layer, nn.Linear) else 0.001)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        to_maps = self.final_layer if self.deconv_head is None else self.deconv_head
        maps = to_maps(feature).reshape(self.map_shape)
        return self.mlp_head_x(maps), self.mlp_head_y(maps)


def simcc_resnet(
    stage_blocks: Sequence[int],
    input_height: int = 256,
    input_width: int = 192,
    keypoints: int = 17,
    split: float = 2.0,
    deconv_channels: Sequence[int] = (),
) -> TopDown:
    """Build SimCC on a ResNet from plain numbers; its outputs are raw logits.

    (B, 3, H, W) -> simcc_x (B, K, split W), simcc_y (B, K, split H)

    Args:
        stage_blocks: blocks per stage of the ResNet, [3, 4, 6, 3] for ResNet-50.
        input_height: pixels, a multiple of 32; shapes of the weights depend on it.
        input_width: the same.
        keypoints: K.
        split: SimCC bins per pixel.
        deconv_channels: of the head's deconvolutions, none in the paper's baseline.
    """
    backbone = ResNet(stage_blocks)
    return _simcc(backbone, input_height, input_width, keypoints, split, deconv_channels)


def simcc_cspnext(
    widen: float,
    deepen: float,
    input_height: int = 256,
    input_width: int = 192,
    keypoints: int = 17,
    split: float = 2.0,
    deconv_channels: Sequence[int] = (),
) -> TopDown:
    """Build SimCC on a CSPNeXt; see `simcc_resnet` and `rtmpose` for the numbers."""
    backbone = CSPNeXt(widen, deepen)
    return _simcc(backbone, input_height, input_width, keypoints, split, deconv_channels)


def _simcc(
    backbone: ResNet | CSPNeXt,
    input_height: int,
    input_width: int,
    keypoints: int,
    split: float,
    deconv_channels: Sequence[int],
) -> TopDown:
    head = SimCCHead(
        backbone.out_channels[-1],
        keypoints,
        *feature_size(input_height, input_width),
        int(input_width * split),
        int(input_height * split),
        deconv_channels=deconv_channels,
    )
    return TopDown(backbone, head)
