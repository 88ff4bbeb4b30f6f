"""Compound scaling (arXiv 2007.08090, section 3.2): one number phi gives a whole EfficientHRNet."""

import math
from dataclasses import dataclass

from models_src.layers.efficientnet import BackboneSize, scale_backbone

BRANCH_CHANNELS = (32, 64, 128, 256)
BRANCH_SCALE = 1.2455


@dataclass(frozen=True)
class CompoundScaling:
    """One row of table 1."""

    input_size: int
    backbone: BackboneSize
    branch_channels: tuple[int, ...]
    stage_modules: tuple[int, int, int]


def compound_scaling(phi: int) -> CompoundScaling:
    """H0 for phi = 0, H-1 to H-4 for phi = -1 to -4; the paper defines no others.

    - Equation 5 prints branches of n · 32 · 1.25^phi channels. The code, and with it the paper's
      own table 1, has 2^(n - 1) · 32 · 1.2455^phi, rounded up.
    - Modules per stage are said in words: one fewer per step of phi, in stage 3 until one is left
      and then in stage 4.
    - The input loses 32 pixels, the stride of the backbone, per step.
    """
    return CompoundScaling(
        input_size=512 + 32 * phi,
        backbone=scale_backbone(phi),
        branch_channels=tuple(math.ceil(width * BRANCH_SCALE**phi) for width in BRANCH_CHANNELS),
        stage_modules=(1, max(1, 4 + phi), min(3, 6 + phi)),
    )
