"""RTMPose (arXiv 2303.07399): CSPNeXt backbone and the RTMCC head (sections 3.3 and 3.4).

Every key point becomes one token, one gated attention unit lets the tokens see each other, and
two classifiers place the token on the x and on the y axis (SimCC: half-pixel bins).

The shapes are fixed at construction. Nothing is read from a tensor's shape while running, so the
exported graph holds constants where a traced shape would leave Shape/Gather chains.
"""

import math

import torch
from torch import Tensor, nn

from models_src.layers.cspnext import CSPNeXt

BACKBONE_STRIDE = 32


class ScaleNorm(nn.Module):
    """x / max(rms(x), eps) * g over the last dimension, with one learnt scale g.

    (B, K, size) -> the same
    """

    def __init__(self, size: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.scale = size**-0.5
        self.eps = eps
        self.g = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        # torch.norm and not F.normalize: one ReduceL2, which every runtime knows.
        rms = torch.norm(x, dim=2, keepdim=True) * self.scale
        return x / rms.clamp(min=self.eps) * self.g


class Scale(nn.Module):
    """One learnt factor per channel."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class GatedAttentionUnit(nn.Module):
    """Self-attention and gating in one (section 3.3, equations 1 and 2).

        U, V, Z = SiLU(X W)                     gate, value, shared base
        Q, K = Z gamma_q + beta_q, Z gamma_k + beta_k
        A = relu(Q K^T / sqrt(s))^2
        O = (U * A V) W_o + X * r

    The paper prints another 1/n in A; the code and all released weights have none.

    (B, K, size) -> the same, `hidden` the width e of U and V, `base` the width s of Z
    """

    def __init__(self, size: int, hidden: int, base: int) -> None:
        super().__init__()
        self.splits = [hidden, hidden, base]
        self.scale = 1 / math.sqrt(base)
        # Row 0 makes the queries, row 1 the keys.
        self.gamma = nn.Parameter(torch.rand(2, base))
        self.beta = nn.Parameter(torch.rand(2, base))
        self.o = nn.Linear(hidden, size, bias=False)
        self.uv = nn.Linear(size, 2 * hidden + base, bias=False)
        self.ln = ScaleNorm(size)
        self.act = nn.SiLU(inplace=True)
        self.res_scale = Scale(size)

    def forward(self, x: Tensor) -> Tensor:
        u, v, z = torch.split(self.act(self.uv(self.ln(x))), self.splits, dim=2)
        q = z * self.gamma[0] + self.beta[0]
        k = z * self.gamma[1] + self.beta[1]
        a = torch.relu(torch.matmul(q, k.transpose(1, 2)) * self.scale)
        a = a * a
        return self.res_scale(x) + self.o(u * torch.matmul(a, v))


class RTMCCHead(nn.Module):
    """Feature map -> one token per key point -> bins along x and y (figure 2).

    Without `attention` it is the head before section 3.3 adds the attention unit.

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
        kernel_size: int,
        token_size: int,
        attention: bool,
        attention_hidden: int,
        attention_base: int,
    ) -> None:
        super().__init__()
        cells = feature_height * feature_width
        self.token_shape = (-1, keypoints, cells)
        self.final_layer = nn.Conv2d(in_channels, keypoints, kernel_size, padding=kernel_size // 2)
        self.mlp = nn.Sequential(ScaleNorm(cells), nn.Linear(cells, token_size, bias=False))
        self.gau = (
            GatedAttentionUnit(token_size, attention_hidden, attention_base) if attention else None
        )
        self.cls_x = nn.Linear(token_size, x_bins, bias=False)
        self.cls_y = nn.Linear(token_size, y_bins, bias=False)
        self._init_weights()

    def _init_weights(self) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.01)
            elif isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.001)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.mlp(self.final_layer(feature).reshape(self.token_shape))
        if self.gau is not None:
            tokens = self.gau(tokens)
        return self.cls_x(tokens), self.cls_y(tokens)


class TopDown(nn.Module):
    """A head on the deepest feature map of a backbone: crop of one person (B, 3, H, W) -> pose."""

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return self.head(self.backbone(image)[-1])


def feature_size(input_height: int, input_width: int) -> tuple[int, int]:
    """Height and width of the backbone's deepest feature map; raises ValueError for odd inputs."""
    if input_height % BACKBONE_STRIDE or input_width % BACKBONE_STRIDE:
        raise ValueError(
            f"the input must be a multiple of {BACKBONE_STRIDE} on both sides: "
            f"{input_height}x{input_width}"
        )
    return input_height // BACKBONE_STRIDE, input_width // BACKBONE_STRIDE


def rtmpose(
    widen: float,
    deepen: float,
    input_height: int = 256,
    input_width: int = 192,
    keypoints: int = 17,
    split: float = 2.0,
    kernel_size: int = 7,
    token_size: int = 256,
    attention: bool = True,
    attention_hidden: int = 512,
    attention_base: int = 128,
) -> TopDown:
    """Build an RTMPose from plain numbers; its outputs are raw logits.

    (B, 3, H, W) -> simcc_x (B, K, split W), simcc_y (B, K, split H)

    Args:
        widen: channel multiplier of CSPNeXt (its widen_factor in the original).
        deepen: block multiplier (deepen_factor).
        input_height: pixels, a multiple of 32; shapes of the weights depend on it.
        input_width: the same.
        keypoints: K, the number of tokens.
        split: SimCC bins per pixel.
        kernel_size: of the convolution that makes the tokens (table 2).
        token_size: numbers per token.
        attention: with the attention unit of section 3.3.
        attention_hidden: e of the attention unit (U and V).
        attention_base: s of the attention unit (Q and K).
    """
    backbone = CSPNeXt(widen, deepen)
    head = RTMCCHead(
        backbone.out_channels[-1],
        keypoints,
        *feature_size(input_height, input_width),
        int(input_width * split),
        int(input_height * split),
        kernel_size=kernel_size,
        token_size=token_size,
        attention=attention,
        attention_hidden=attention_hidden,
        attention_base=attention_base,
    )
    return TopDown(backbone, head)
