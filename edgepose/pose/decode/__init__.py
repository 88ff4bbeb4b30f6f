"""From a net's raw outputs to key points or boxes, in pixels of its input."""

from collections.abc import Mapping, Sequence

from edgepose.errors import UsageError
from edgepose.pose.decode.associative import strongest_peaks
from edgepose.pose.decode.heatmap import decode_heatmaps
from edgepose.pose.decode.rtmdet import decode_rtmdet
from edgepose.pose.decode.simcc import decode_simcc
from edgepose.pose.result import Boxes, Floats, Keypoints
from edgepose.zoo import (
    AssociativeDecoder,
    HeatmapDecoder,
    InputSpec,
    ModelSpec,
    RTMDetDecoder,
    SimCCDecoder,
)

__all__ = ["Boxes", "Keypoints", "decode", "ordered_outputs"]


def decode(spec: ModelSpec, outputs: Mapping[str, Floats]) -> Keypoints | Boxes:
    """Decode the outputs of one image, named as ``spec.outputs`` or in that order.

    Raises UsageError where the model has no decoder, or outputs that its decoder cannot read.
    """
    decoder, arrays = spec.decoder, ordered_outputs(spec, outputs)
    if decoder is None or spec.input is None:
        raise UsageError(
            f"model {spec.name!r} does not say how its outputs are decoded",
            hint="Put a TOML file with [input] and [decoder] beside the ONNX file.",
        )
    _check(spec, arrays)
    size = (spec.input.height, spec.input.width)
    match decoder:
        case SimCCDecoder():
            return decode_simcc(arrays[0], arrays[1], decoder.split)
        case HeatmapDecoder():
            stride = _stride(spec.input, arrays[0])
            return decode_heatmaps(arrays[0], stride, decoder.refine, decoder.blur_kernel)
        case RTMDetDecoder():
            return decode_rtmdet(arrays, decoder, size)
        case AssociativeDecoder():
            stride = _stride(spec.input, arrays[1])
            return strongest_peaks(arrays[0], arrays[1], spec.keypoints, stride)


def ordered_outputs(spec: ModelSpec, outputs: Mapping[str, Floats]) -> list[Floats]:
    """The arrays in the model's order: by name where the names are the model's, else as given."""
    if set(spec.outputs) == set(outputs):
        return [outputs[name] for name in spec.outputs]
    return list(outputs.values())


def _stride(spec: InputSpec, heatmaps: Floats) -> tuple[float, float]:
    """Input pixels per cell, (x, y)."""
    return spec.width / heatmaps.shape[3], spec.height / heatmaps.shape[2]


def _check(spec: ModelSpec, arrays: Sequence[Floats]) -> None:
    """Refuse outputs of a wrong number, rank, batch or number of channels."""
    assert spec.input is not None
    height, width = spec.input.height, spec.input.width
    expected: list[tuple[int | None, ...]]
    match spec.decoder:
        case SimCCDecoder(split=split):
            k = spec.keypoints
            expected = [(1, k, round(width * split)), (1, k, round(height * split))]
        case HeatmapDecoder():
            expected = [(1, spec.keypoints, None, None)]
        case RTMDetDecoder(layout="fused", strides=strides):
            expected = [(1, -(-height // s), -(-width // s), None) for s in strides]
        case RTMDetDecoder(strides=strides):
            cells = [(-(-height // s), -(-width // s)) for s in strides]
            expected = [(1, c, *cell) for c in (None, 4) for cell in cells]
        case _:
            expected = [(1, 2 * spec.keypoints, None, None), (1, spec.keypoints, None, None)]
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
