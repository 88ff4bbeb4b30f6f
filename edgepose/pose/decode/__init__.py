"""From a net's raw outputs to key points or boxes, in pixels of its input."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgepose.errors import UsageError
from edgepose.pose.decode.associative import strongest_peaks
from edgepose.pose.decode.heatmap import heatmap_points
from edgepose.pose.decode.rtmdet import decode_rtmdet
from edgepose.pose.decode.simcc import simcc_points
from edgepose.pose.result import Boxes, Floats, Keypoints
from edgepose.zoo import (
    AssociativeDecoder,
    Decoder,
    HeatmapDecoder,
    ModelSpec,
    RTMDetDecoder,
    SimCCDecoder,
)

__all__ = ["Boxes", "Keypoints", "check_outputs", "decode", "decode_crops", "ordered_outputs"]

_Shape: TypeAlias = tuple[int | None, ...]


def decode(spec: ModelSpec, outputs: Mapping[str, Floats]) -> Keypoints | Boxes:
    """Decode the outputs of one image, named as ``spec.outputs`` or in that order.

    Raises UsageError where the model has no decoder, or outputs that its decoder cannot read.
    """
    arrays = ordered_outputs(spec, outputs)
    check_outputs(spec, arrays, 1)
    assert spec.input is not None
    match spec.decoder:
        case RTMDetDecoder() as decoder:
            return decode_rtmdet(arrays, decoder, (spec.input.height, spec.input.width))
        case AssociativeDecoder():
            return strongest_peaks(arrays[0], arrays[1], spec.keypoints, _stride(spec, arrays[1]))
    points, scores = decode_crops(spec, arrays)
    return Keypoints(points[0], scores[0])


def decode_crops(
    spec: ModelSpec, outputs: Sequence[Floats]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Points [N, K, 2] and scores [N, K] of N crops of a net of single persons.

    ``outputs`` [N, …] are in the model's order. Raises UsageError as ``decode`` does.
    """
    check_outputs(spec, outputs, len(outputs[0]))
    match spec.decoder:
        case SimCCDecoder(split=split):
            return simcc_points(outputs[0], outputs[1], split)
        case HeatmapDecoder(refine=refine, blur_kernel=kernel):
            return heatmap_points(outputs[0], _stride(spec, outputs[0]), refine, kernel)
    raise UsageError(
        f"model {spec.name!r} does not tell the key points of one person",
        hint="Take a top-down model.",
    )


def ordered_outputs(spec: ModelSpec, outputs: Mapping[str, Floats]) -> list[Floats]:
    """The arrays in the model's order: by name where the names are the model's, else as given."""
    if set(spec.outputs) == set(outputs):
        return [outputs[name] for name in spec.outputs]
    return list(outputs.values())


def _stride(spec: ModelSpec, heatmaps: Floats) -> tuple[float, float]:
    """Input pixels per cell, (x, y)."""
    assert spec.input is not None
    height, width = heatmaps.shape[2:]
    if isinstance(spec.decoder, HeatmapDecoder) and spec.decoder.refine == "udp":
        # From the first cell's centre to the last one's, in mmpose over the whole input.
        height, width = height - 1, width - 1
    return spec.input.width / width, spec.input.height / height


def check_outputs(spec: ModelSpec, arrays: Sequence[Floats], batch: int) -> None:
    """Refuse outputs of a wrong number, rank, batch or number of channels (UsageError)."""
    if spec.decoder is None or spec.input is None:
        raise UsageError(
            f"model {spec.name!r} does not say how its outputs are decoded",
            hint="Put a TOML file with [input] and [decoder] beside the ONNX file.",
        )
    size = spec.input.height, spec.input.width
    expected = _expected(spec.decoder, size, spec.keypoints, batch)
    shapes = tuple([array.shape for array in arrays])
    if not _fit(shapes, expected):
        wanted = ", ".join(str([n or "any" for n in shape]) for shape in expected)
        raise UsageError(
            f"the outputs of {spec.name!r} have shapes {', '.join(str(list(s)) for s in shapes)}, "
            f"its decoder needs {wanted}",
            hint="Check `keypoints`, [input] and [decoder] of the model.",
        )


@lru_cache
def _expected(
    decoder: Decoder, size: tuple[int, int], keypoints: int, batch: int
) -> tuple[_Shape, ...]:
    """Of the outputs of a net whose input has ``size`` (height, width); None: any number."""
    height, width = size
    match decoder:
        case SimCCDecoder(split=split):
            x, y = round(width * split), round(height * split)
            return (batch, keypoints, x), (batch, keypoints, y)
        case HeatmapDecoder():
            return ((batch, keypoints, None, None),)
        case RTMDetDecoder(layout=layout, strides=strides):
            cells = [(-(-height // s), -(-width // s)) for s in strides]
            if layout == "fused":
                return tuple((batch, *cell, None) for cell in cells)
            return tuple((batch, channels, *cell) for channels in (None, 4) for cell in cells)
    return (batch, 2 * keypoints, None, None), (batch, keypoints, None, None)


@lru_cache
def _fit(shapes: tuple[_Shape, ...], expected: tuple[_Shape, ...]) -> bool:
    return list(map(len, shapes)) == list(map(len, expected)) and all(
        want is None or have == want
        for shape, wanted in zip(shapes, expected, strict=True)
        for have, want in zip(shape, wanted, strict=True)
    )
