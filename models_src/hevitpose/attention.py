"""CGSR-MHA: cascaded group spatial reduction multi-head attention (section 3.3, figure 3c)."""

from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from models_src.hevitpose.layers import conv_norm


class Attention(nn.MultiheadAttention):
    """Multi-head attention: query (B, L, C), memory (B, M, C) -> (B, L, C).

    PyTorch's parameters, and its computation written out for fixed L and M: its own forward asks
    for shapes while it runs, which leaves shape arithmetic in an exported graph.
    """

    def __init__(self, channels: int, heads: int, query_length: int, memory_length: int) -> None:
        super().__init__(channels, heads, batch_first=True)
        self.query_shape = (-1, query_length, heads, channels // heads)
        self.memory_shape = (-1, memory_length, heads, channels // heads)
        self.output_shape = (-1, query_length, channels)

    def _project(self, x: Tensor, part: int, shape: tuple[int, ...]) -> Tensor:
        """(B, N, C) -> (B, heads, N, C / heads) by rows `part` of the joint projection."""
        rows = slice(part * self.embed_dim, (part + 1) * self.embed_dim)
        y = functional.linear(x, self.in_proj_weight[rows], self.in_proj_bias[rows])
        return y.reshape(shape).transpose(1, 2)

    def forward(self, query: Tensor, memory: Tensor) -> Tensor:
        q = self._project(query, 0, self.query_shape)
        k = self._project(memory, 1, self.memory_shape)
        v = self._project(memory, 2, self.memory_shape)
        weights = torch.matmul(q * (1 / sqrt(self.head_dim)), k.transpose(2, 3)).softmax(dim=3)
        y = torch.matmul(weights, v).transpose(1, 2).reshape(self.output_shape)
        return functional.linear(y, self.out_proj.weight, self.out_proj.bias)


class CascadedGroupReducedAttention(nn.Module):
    """Each group of channels attends within itself, after the one before was added to it.

    (B, channels, H, W) -> the same, for one fixed `size` = (H, W).
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        groups: int,
        heads: int,
        reduction: int,
        *,
        norm_eps: float,
        output_norm: bool,
        group_residual: bool,
        activated_projection: bool,
    ) -> None:
        super().__init__()
        width = channels // groups
        height_width = size[0] * size[1]
        reduced_size = tuple(-(-side // reduction) for side in size)
        self.group_width = width
        self.group_residual = group_residual
        self.query_shape = (-1, width, height_width)
        self.memory_shape = (-1, width, reduced_size[0] * reduced_size[1])
        self.map_shape = (-1, width, *size)

        # One set of weights for all groups: only so do the paper's parameters fall with 1 / G^2.
        self.sr = (
            nn.Conv2d(width, width, 2 * reduction - 1, reduction, padding=reduction - 1)
            if reduction > 1
            else nn.Identity()
        )
        self.norm_q = nn.LayerNorm(width, eps=norm_eps)
        self.norm_kv = nn.LayerNorm(width, eps=norm_eps)
        self.attn = Attention(width, heads, self.query_shape[2], self.memory_shape[2])
        self.norm_out = nn.LayerNorm(width, eps=norm_eps) if output_norm else nn.Identity()
        self.act = nn.ReLU(inplace=True) if activated_projection else nn.Identity()
        self.out = conv_norm(channels, channels, 1)

    def _attend(self, f: Tensor) -> Tensor:
        """Equation 7: one group (B, C / G, H, W) -> the same."""
        query = self.norm_q(f.reshape(self.query_shape).transpose(1, 2))
        memory = self.norm_kv(self.sr(f).reshape(self.memory_shape).transpose(1, 2))
        y = self.norm_out(self.attn(query, memory))
        y = y.transpose(1, 2).reshape(self.map_shape)
        return f + y if self.group_residual else y

    def forward(self, x: Tensor) -> Tensor:
        first, *rest = torch.split(x, self.group_width, dim=1)
        seen = [self._attend(first)]  # equation 6
        for group in rest:
            seen.append(self._attend(group + seen[-1]))
        return self.out(self.act(torch.cat(seen, dim=1)))  # equation 8
