"""ncnn's ``.param`` text as data, and the precision of single layers in it.

A layer's parameter 31 masks options for this layer alone: bit 0 arithmetic in halves, bit 1 storing
halves. Bit 1 alone is a trap: ncnn 1.0.20261020 still hands such a layer the halves of the layer
before, which it reads as if they were floats and crashes. So an identity that knows no halves is
put in between, for which ncnn does convert.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

_MAGIC = "7767517"
_MASK = "31"
_NO_HALF_ARITHMETIC, _NO_HALF_STORAGE = 1, 2
# Dropout with its default factor 1: an identity without support of halves on any CPU.
_IDENTITY = "Dropout"
_SOURCES = ("Input", "MemoryData")  # their blobs are floats
# These move values and compute none: where one comes in single precision, it leaves so.
_CARRIERS = (
    *("Split", "Reshape", "Flatten", "Slice", "Crop", "Squeeze", "ExpandDims", "Permute"),
    *("Concat", "ShuffleChannel", "PixelShuffle", "Noop", _IDENTITY),
)


@dataclass(frozen=True)
class Layer:
    """One line: ``params`` are words like ``0=64``, keyed by number."""

    type: str
    name: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    params: tuple[str, ...] = ()

    def get(self, key: str, default: str) -> str:
        return dict(word.split("=", 1) for word in self.params).get(key, default)


def parse_param(text: str) -> tuple[Layer, ...]:
    """The layers in the order of execution. Raises ValueError for anything else than a .param."""
    lines = text.splitlines()
    if not lines or lines[0].strip() != _MAGIC:
        raise ValueError("not the text of an ncnn .param file")
    return tuple(_parse(line.split()) for line in lines[2:] if line.strip())


def format_param(layers: Sequence[Layer]) -> str:
    """The text that ``parse_param`` reads."""
    blobs = sum(len(layer.tops) for layer in layers)
    return "\n".join([_MAGIC, f"{len(layers)} {blobs}", *map(_format, layers), ""])


def computing(layers: Sequence[Layer]) -> tuple[str, ...]:
    """Names of the layers that compute something, in order."""
    return tuple(layer.name for layer in layers if layer.type not in (*_SOURCES, *_CARRIERS))


def wrong_in_halves(layers: Sequence[Layer]) -> tuple[str, ...]:
    """Names of the layers whose arithmetic in halves is wrong on ARM, whatever the values are.

    Where the output's width leaves a remainder of 2 or 3 by 4, the kernel for depthwise 3x3 of
    stride 2 reads a column of its second and third row from the first row (ncnn 1.0.20261020,
    ``convdw3x3s2_pack8_fp16sa_neon``). The file does not tell widths, so all such layers count.
    """
    return tuple(layer.name for layer in layers if _is_depthwise_3x3_stride_2(layer))


def without_half_arithmetic(layers: Sequence[Layer], names: Collection[str]) -> tuple[Layer, ...]:
    """``names`` compute in single precision on stored halves."""
    return tuple(
        _masked(layer, _NO_HALF_ARITHMETIC) if layer.name in names else layer for layer in layers
    )


def in_single_precision(layers: Sequence[Layer], names: Collection[str]) -> tuple[Layer, ...]:
    """``names`` take, compute and give single precision; layers that only move values follow."""
    given: set[str] = set()  # blobs that are the net's own inputs and constants: floats, too
    single: set[str] = set()  # blobs that pinned layers give
    found: list[Layer] = []
    for layer in layers:
        follows = layer.type in _CARRIERS and not single.isdisjoint(layer.bottoms)
        if layer.type in _SOURCES:
            given.update(layer.tops)
        elif layer.name in names or follows:
            halves = [blob for blob in layer.bottoms if blob not in single | given]
            found += [_to_single(blob) for blob in halves]
            bottoms = tuple(_single(b) if b in halves else b for b in layer.bottoms)
            single.update(layer.tops)
            mask = _NO_HALF_ARITHMETIC | _NO_HALF_STORAGE
            layer = _masked(replace(layer, bottoms=bottoms), mask)
        found.append(layer)
    return tuple(found)


def _is_depthwise_3x3_stride_2(layer: Layer) -> bool:
    if layer.type != "ConvolutionDepthWise":
        return False
    outputs, groups = int(layer.get("0", "0")), int(layer.get("7", "1"))
    width, stride, dilation = layer.get("1", "0"), layer.get("3", "1"), layer.get("2", "1")
    square = (layer.get("11", width), layer.get("13", stride), layer.get("12", dilation))
    exact = (width, stride, dilation) == ("3", "2", "1") and square == ("3", "2", "1")
    return exact and outputs == groups and groups % 8 == 0


def _masked(layer: Layer, mask: int) -> Layer:
    """``layer`` with the bits of ``mask`` in its parameter 31."""
    others = tuple(word for word in layer.params if not word.startswith(f"{_MASK}="))
    mask |= int(layer.get(_MASK, "0"))
    return replace(layer, params=(*others, f"{_MASK}={mask}"))


def _single(blob: str) -> str:
    return f"{blob}_fp32"


def _to_single(blob: str) -> Layer:
    return Layer(_IDENTITY, f"to_{_single(blob)}", (blob,), (_single(blob),))


def _parse(words: list[str]) -> Layer:
    try:
        kind, name, bottoms, tops, *rest = words
        first, last = int(bottoms), int(bottoms) + int(tops)
    except ValueError:
        raise ValueError(f"not a layer of an ncnn .param file: {' '.join(words)}") from None
    if len(rest) < last:
        raise ValueError(f"the layer {name} names {len(rest)} blobs, not {last}")
    return Layer(kind, name, tuple(rest[:first]), tuple(rest[first:last]), tuple(rest[last:]))


def _format(layer: Layer) -> str:
    counts = f"{len(layer.bottoms)} {len(layer.tops)}"
    words = [f"{layer.type:<24} {layer.name:<24}", counts, *layer.bottoms, *layer.tops]
    return " ".join([*words, *layer.params])
