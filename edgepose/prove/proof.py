"""What a proof says, as data: bundles, records and tables carry it."""

from typing import Literal

import msgspec


class TensorDrift(msgspec.Struct, frozen=True, kw_only=True):
    """An output tensor y against its golden r, the worst of all golden cases.

    ``max_relative_error`` is max|y - r| / max|r|, ``mean_relative_error`` mean|y - r| / mean|r|;
    these and ``cosine`` (-1..1) are None where y is not ``finite``.
    """

    output: str
    max_relative_error: float | None
    mean_relative_error: float | None
    cosine: float | None
    finite: bool


class KeypointFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How far the ``n_points`` decoded key points moved, in pixels, and their mean OKS (0..1)."""

    mean_px: float
    max_px: float
    oks: float
    n_points: int
    note: str = ""


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on an artifact's outputs; ``failures`` are sentences with both figures.

    ``keypoints`` is None where the weights are untrained or the decoder is unknown; ``where`` says
    which machine computed the outputs.
    """

    passed: bool
    tensors: tuple[TensorDrift, ...]
    keypoints: KeypointFigures | None
    failures: tuple[str, ...]
    weights: Literal["trained", "untrained"]
    where: str
