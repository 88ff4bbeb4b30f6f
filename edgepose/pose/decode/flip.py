"""The flip test: a net's outputs for a mirrored image, merged with those for the image itself."""

from collections.abc import Sequence

import numpy as np

from edgepose.pose.result import Floats
from edgepose.zoo import Decoder, HeatmapDecoder, SimCCDecoder


def merged_with_flipped(
    decoder: Decoder | None,
    outputs: Sequence[Floats],
    flipped: Sequence[Floats],
    mirrored: Sequence[int],
) -> list[Floats]:
    """The mean of both, for SimCC and heatmaps: ``outputs`` and ``flipped`` are [N, K, …].

    ``mirrored`` [K] tells in whose place each key point is in a mirrored picture.
    """
    back = [unflipped(each, mirrored) for each in flipped]
    if isinstance(decoder, SimCCDecoder):
        back[1] = back[1][..., ::-1]  # the axis of y is not mirrored
    elif isinstance(decoder, HeatmapDecoder) and decoder.refine != "udp":
        # A cell stands at its first pixel: mirrored, at its last one, nearly a cell away.
        back = [np.concatenate([each[..., :1], each[..., :-1]], axis=-1) for each in back]
    return [(one + two) / 2 for one, two in zip(outputs, back, strict=True)]


def unflipped(maps: Floats, mirrored: Sequence[int]) -> Floats:
    """Maps [N, K, …, width] of a mirrored image as if it were not mirrored."""
    return maps[:, list(mirrored), ..., ::-1]
