"""The operators that pose nets are made of come through every engine."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models_src.baselines.litehrnet.blocks import ConditionalChannelWeighting
from models_src.hevitpose.attention import Attention, CascadedGroupReducedAttention
from models_src.hevitpose.layers import SqueezeExcite
from models_src.hevitpose.window_attention import WindowAttention
from models_src.layers.csp import ChannelAttention, SpatialPyramidPooling
from models_src.layers.efficientnet import MBConv
from models_src.layers.high_resolution import HighResolutionModule
from models_src.rtmpose.net import GatedAttentionUnit, ScaleNorm
from tests.engines.conftest import Load
from tests.tiny_nets import normal, relative_error


class Upsample(nn.Module):
    """Nearest to twice the size, joined with its input's pooled twin, as feature pyramids do."""

    def forward(self, x: Tensor) -> Tensor:
        large = nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
        return torch.cat([large, nn.functional.max_pool2d(large, 3, 1, 1)], dim=1)


class Tokens(nn.Module):
    """``block`` on one token per channel, as in RTMPose's head: (1, K, h, w) -> (1, K, h * w)."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(torch.flatten(x, 2))
        return out


class Attended(nn.Module):
    """Attention of a map's cells to a coarser map's: (1, C, 8, 6) -> (1, 48, C)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.coarser = nn.Conv2d(channels, channels, 3, 2, 1)
        self.attention = Attention(channels, heads, 8 * 6, 4 * 3)

    def forward(self, x: Tensor) -> Tensor:
        query, memory = x.reshape(-1, 32, 48), self.coarser(x).reshape(-1, 32, 12)
        out: Tensor = self.attention(query.transpose(1, 2), memory.transpose(1, 2))
        return out


class Branches(nn.Module):
    """``block`` on x and its half-size pooled twin; all that it gives, brought to one size."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.widen = nn.Conv2d(16, 32, 3, 2, 1)
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        high, low = self.block([x, self.widen(x)])
        return torch.cat([nn.functional.avg_pool2d(high, 2), low], dim=1)


def grouped_attention() -> nn.Module:
    """One block of HEViTPose: cascaded groups, keys and values at half the resolution."""
    return CascadedGroupReducedAttention(
        32,
        (8, 6),
        groups=4,
        heads=2,
        reduction=2,
        norm_eps=1e-5,
        output_norm=True,
        group_residual=False,
        activated_projection=True,
    )


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "scale norm": (lambda: Tokens(ScaleNorm(64)), (1, 17, 8, 8)),
    "gated attention": (lambda: Tokens(GatedAttentionUnit(64, 96, 32)), (1, 17, 8, 8)),
    "channel attention": (lambda: ChannelAttention(16), (1, 16, 12, 10)),
    "spatial pyramid": (lambda: SpatialPyramidPooling(16), (1, 16, 12, 10)),
    "transposed conv": (lambda: nn.ConvTranspose2d(16, 24, 4, 2, 1, bias=False), (1, 16, 12, 10)),
    "transposed conv, odd": (
        lambda: nn.ConvTranspose2d(16, 8, 3, 2, 1, output_padding=1),
        (1, 16, 11, 9),
    ),
    "grouped conv": (lambda: nn.Conv2d(16, 32, 3, padding=1, groups=4), (1, 16, 12, 10)),
    "depthwise conv": (lambda: nn.Conv2d(16, 16, 7, padding=3, groups=16), (1, 16, 12, 10)),
    "grouped transposed conv": (
        lambda: nn.ConvTranspose2d(16, 16, 4, 2, 1, groups=16),
        (1, 16, 12, 10),
    ),
    "dilated conv": (lambda: nn.Conv2d(16, 16, 3, padding=2, dilation=2), (1, 16, 12, 10)),
    "relu6": (lambda: nn.Sequential(nn.Conv2d(16, 16, 1), nn.ReLU6()), (1, 16, 12, 10)),
    "upsample": (Upsample, (1, 16, 12, 10)),
    "multi-head attention": (lambda: Attended(32, 4), (1, 32, 8, 6)),
    "cascaded group attention": (grouped_attention, (1, 32, 8, 6)),
    "window attention": (lambda: WindowAttention(32, (8, 6), 16, (5, 3), 7), (1, 32, 8, 6)),
    "squeeze and excitation": (lambda: SqueezeExcite(16, 4), (1, 16, 12, 10)),
    "inverted bottleneck": (lambda: MBConv(16, 24, 6, 5, 2), (1, 16, 12, 10)),
    "resolutions fused": (lambda: Branches(HighResolutionModule([16, 32], 1)), (1, 16, 12, 10)),
    "channels weighted and shuffled": (
        lambda: Branches(ConditionalChannelWeighting([16, 32], [(12, 10), (6, 5)], 8)),
        (1, 16, 12, 10),
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Constant folding:UserWarning")
@pytest.mark.parametrize("recipe", ["onnxruntime-fp32", "ncnn-fp32", "tvm-autoscheduler"])
@pytest.mark.parametrize("name", NETS)
def test_an_operator_of_the_zoo_computes_what_torch_computes(
    load_onnx: Load, tmp_path: Path, name: str, recipe: str
) -> None:
    make, shape = NETS[name]
    torch.manual_seed(0)
    net, path = make().eval(), tmp_path / "net.onnx"
    image = torch.from_numpy(normal(*shape, seed=2))
    torch.onnx.export(
        net,
        (image,),
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=["x"],
        output_names=["y"],
    )
    with torch.no_grad():
        expected = net(image.clone()).numpy()
    assert expected.std() > 0
    found = load_onnx(path, recipe).run({"x": image.numpy()})
    assert relative_error(expected, found["y"]) < 1e-4
