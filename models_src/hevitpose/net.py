"""HEViTPose (arXiv 2311.13615): EfficientViT's stages with a lighter attention, two deconvolutions.

The authors published no code. This is a reconstruction whose parameters and FLOPs are those of the
paper's tables; what they leave open is a parameter of the builder.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from models_src.hevitpose.attention import CascadedGroupReducedAttention
from models_src.hevitpose.layers import (
    PatchMerging,
    Residual,
    conv_norm,
    deconv_norm,
    local_and_mixing,
)
from models_src.hevitpose.window_attention import WindowAttention
from models_src.layers.heatmap_head import HeatmapHead

STAGE_STRIDES = (4, 8, 16)
DECONV_CHANNELS = (192, 96)

# From a stage's index and its (H, W) to the attention of one of its blocks.
Mixer = Callable[[int, tuple[int, int]], nn.Module]
# Kind ("conv" or "deconv"), channels, kernel size and stride.
StemLayer = tuple[str, int, int, int]


def patch_embedding(layers: Sequence[StemLayer]) -> nn.Sequential:
    """Overlapping patches, linear: (B, 3, H, W) -> (B, channels of the last, H / 4, W / 4).

    A layer's patch embedding overlap width (section 3.2) is its kernel size less its stride.
    """
    parts: list[nn.Module] = []
    in_channels = 3
    for kind, channels, kernel_size, stride in layers:
        if parts:
            parts.append(nn.ReLU(inplace=True))
        layer = {"conv": conv_norm, "deconv": deconv_norm}[kind]
        parts.append(layer(in_channels, channels, kernel_size, stride))
        in_channels = channels
    return nn.Sequential(*parts)


def block(mixer: nn.Module, channels: int, drop_path: float) -> nn.Sequential:
    """The sandwich of figure 3b: (B, channels, H, W) -> the same."""
    return nn.Sequential(
        *local_and_mixing(channels, drop_path),
        Residual(mixer, drop_path),
        *local_and_mixing(channels, drop_path),
    )


def subsampling(in_channels: int, out_channels: int, drop_path: float) -> list[nn.Module]:
    """A sandwich around the patch merging: (B, in, H, W) -> (B, out, H / 2, W / 2)."""
    return [
        *local_and_mixing(in_channels, drop_path),
        PatchMerging(in_channels, out_channels),
        *local_and_mixing(out_channels, drop_path),
    ]


class HEViTPose(nn.Module):
    """Crop of one person (B, 3, H, W) -> heatmaps (B, K, H / 4, W / 4), linear.

    `mixer` makes the attention of a block.
    """

    def __init__(
        self,
        stem: Sequence[StemLayer],
        channels: Sequence[int],
        depths: Sequence[int],
        mixer: Mixer,
        keypoints: int,
        input_height: int,
        input_width: int,
        *,
        drop_path: float,
        residual_init: float,
    ) -> None:
        super().__init__()
        deepest = STAGE_STRIDES[-1]
        if input_height % deepest or input_width % deepest:
            raise ValueError(
                f"the input must be a multiple of {deepest} on both sides: "
                f"{input_height}x{input_width}"
            )
        self.patch_embed = patch_embedding(stem)
        self.stages = nn.Sequential()
        for index, stride in enumerate(STAGE_STRIDES):
            size = (input_height // stride, input_width // stride)
            width = channels[index]
            parts = subsampling(channels[index - 1], width, drop_path) if index else []
            for _ in range(depths[index]):
                parts.append(block(mixer(index, size), width, drop_path))
            self.stages.append(nn.Sequential(*parts))
        # The head's parts lie at the top level: so the reconstruction's keys have them.
        head = HeatmapHead(channels[-1], keypoints, DECONV_CHANNELS)
        self.deconv_layers = head.deconv_layers
        self.final_layer = head.final_layer
        self._init_residuals(residual_init)

    def _init_residuals(self, scale: float) -> None:
        for module in self.modules():
            if isinstance(module, Residual):
                *_, last = (
                    layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)
                )
                nn.init.constant_(last.weight, scale)

    def forward(self, image: Tensor) -> Tensor:
        feature = self.stages(self.patch_embed(image))  # stride 16
        return self.final_layer(self.deconv_layers(feature))


def hevitpose(
    channels: Sequence[int],
    groups: Sequence[int] = (4, 4, 4),
    reductions: Sequence[int] = (8, 4, 2),
    heads: Sequence[int] = (2, 4, 8),
    depths: Sequence[int] = (1, 2, 3),
    keypoints: int = 16,
    input_height: int = 256,
    input_width: int = 256,
    *,
    norm_eps: float = 1e-5,
    output_norm: bool = True,
    activated_projection: bool = True,
    group_residual: bool = False,
    drop_path: float = 0.0,
    residual_init: float = 1.0,
) -> HEViTPose:
    """Build a HEViTPose from plain numbers, with CGSR-MHA in its blocks.

    The per-stage numbers are those of the stages at strides 4, 8, 16. Neither the paper nor its
    counts determine the named arguments: they are open choices, and the defaults are ours.

    Args:
        channels: C of table 2.
        groups: G, what channels are split into for attention. Table 2 calls them L, see `depths`.
        reductions: R, the stride at which a group's keys and values are taken.
        heads: h of table 5, per group.
        depths: L, blocks per stage. Table 2 has the rows G and L swapped: with its numbers as
            printed no count of the paper comes out.
        keypoints: K, 16 for MPII and 17 for COCO.
        input_height: pixels, a multiple of 16.
        input_width: the same.
        norm_eps: of the layer norms.
        output_norm: whether a third layer norm follows the attention (equation 7 and figure 3c
            say so; the FLOPs of the small size fit slightly better without).
        activated_projection: whether a ReLU stands before the last projection, as in EfficientViT.
        group_residual: whether a group's input is added to its attention's output.
        drop_path: probability at which a sample skips a residual in training.
        residual_init: weight with which the last batch norm of every residual starts. At 0, as
            EfficientViT trains, an untrained net is blind to its attention; so it is not ours.
    """

    def mixer(index: int, size: tuple[int, int]) -> nn.Module:
        return CascadedGroupReducedAttention(
            channels[index],
            size,
            groups[index],
            heads[index],
            reductions[index],
            norm_eps=norm_eps,
            output_norm=output_norm,
            activated_projection=activated_projection,
            group_residual=group_residual,
        )

    return HEViTPose(
        [("conv", channels[0], 7, 4)],
        channels,
        depths,
        mixer,
        keypoints,
        input_height,
        input_width,
        drop_path=drop_path,
        residual_init=residual_init,
    )


def efficientvit_pose(
    stem: Sequence[StemLayer],
    channels: Sequence[int] = (128, 256, 384),
    key_width: int = 16,
    kernel_sizes: Sequence[int] = (7, 5, 3, 3),
    window_side: int = 7,
    depths: Sequence[int] = (1, 2, 3),
    keypoints: int = 16,
    input_height: int = 256,
    input_width: int = 256,
    *,
    drop_path: float = 0.0,
    residual_init: float = 1.0,
) -> HEViTPose:
    """Build EfficientViT-M4 with the same head, on which table 4 compares patch embeddings.

    Args:
        stem: layers of the patch embedding, each ("conv" or "deconv", channels, kernel, stride).
        channels: of the stages at strides 4, 8, 16; the last of `stem` are the first of these.
        key_width: channels of a head's queries and keys.
        kernel_sizes: of the convolution on each head's queries; their number is that of the heads.
        window_side: cells along a side of the windows.
        depths: blocks per stage.
        keypoints: K.
        input_height: pixels, a multiple of 16.
        input_width: the same.
        drop_path: see `hevitpose`.
        residual_init: see `hevitpose`.
    """

    def mixer(index: int, size: tuple[int, int]) -> nn.Module:
        return WindowAttention(channels[index], size, key_width, kernel_sizes, window_side)

    return HEViTPose(
        stem,
        channels,
        depths,
        mixer,
        keypoints,
        input_height,
        input_width,
        drop_path=drop_path,
        residual_init=residual_init,
    )
