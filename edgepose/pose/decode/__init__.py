"""From a net's raw outputs to key points or boxes, in pixels of its input."""

from collections.abc import Mapping, Sequence

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
    HeatmapDecoder,
    ModelSpec,
    RTMDetDecoder,
    SimCCDecoder,
)

__all__ = ["Boxes", "Keypoints", "check_outputs", "decode", "decode_crops", "ordered_outputs"]


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
    height, width = spec.input.height, spec.input.width
    expected: list[tuple[int | None, ...]]
    match spec.decoder:
        case SimCCDecoder(split=split):
            k = spec.keypoints
            expected = [(batch, k, round(width * split)), (batch, k, round(height * split))]
        case HeatmapDecoder():
            expected = [(batch, spec.keypoints, None, None)]
        case RTMDetDecoder(layout="fused", strides=strides):
            expected = [(batch, -(-height // s), -(-width // s), None) for s in strides]
        case RTMDetDecoder(strides=strides):
            cells = [(-(-height // s), -(-width // s)) for s in strides]
            expected = [(batch, c, *cell) for c in (None, 4) for cell in cells]
        case _:
            k = spec.keypoints
            expected = [(batch, 2 * k, None, None), (batch, k, None, None)]
    shapes = [array.shape for array in arrays]
    if len(shapes) != len(expected) or not all(map(_fits, shapes, expected)):
        wanted = ", ".join(str([n or "any" for n in shape]) for shape in expected)
        raise UsageError(
            f"the outputs of {spec.name!r} have shapes {', '.join(str(list(s)) for s in shapes)}, "
            f"its decoder needs {wanted}",
            hint="Check `keypoints`, [input] and [decoder] of the model.",
        )


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected) and all(
        want is None or have == want for have, want in zip(shape, expected, strict=True)
    )
