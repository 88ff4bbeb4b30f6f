"""Operators on blocked tensors ``[1, c/block, h, w, block]``, as tensor expressions. Imports tvm.

The lanes beyond the last channel hold anything: nothing here lets one channel see another's lane,
except convolutions, and they read ``inputs`` channels and not one more.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import factorial, log
from typing import Any

from tvm import te, tirx

from edgepose.engines.tvm.packing import blocks_of

Pair = tuple[int, int]

# Taylor's for 2^f, the highest first: within 1.2e-7 for |f| <= 1/2.
_POWER_OF_TWO = tuple(log(2) ** k / factorial(k) for k in range(6, -1, -1))


@dataclass(frozen=True)
class Window:
    """What a convolution does in its two spatial directions; ``pads`` are top and left."""

    out: Pair
    strides: Pair
    pads: Pair
    dilation: Pair = (1, 1)


def conv2d(data: Any, weight: Any, inputs: int, window: Window) -> Any:
    """Convolution over all channels; ``data`` is blocked, or plain ``[1, inputs, h, w]``."""
    groups, kh, kw, _, block = shape_of(weight)
    data = _padded(data, window, (kh, kw))
    at = _channel_reader(data, block)
    (sh, sw), (dh, dw) = window.strides, window.dilation
    y, x, i = _axis(kh, "ky"), _axis(kw, "kx"), _axis(inputs, "input")
    return te.compute(
        (1, groups, *window.out, block),
        lambda n, o, h, w, lane: te.sum(
            at(n, i, h * sh + y * dh, w * sw + x * dw) * weight[o, y, x, i, lane], axis=[y, x, i]
        ),
        name="conv2d",
    )


def depthwise_conv2d(data: Any, weight: Any, window: Window) -> Any:
    """Convolution of each channel with a kernel of its own."""
    groups, kh, kw, block = shape_of(weight)
    data = _padded(data, window, (kh, kw))
    (sh, sw), (dh, dw) = window.strides, window.dilation
    y, x = _axis(kh, "ky"), _axis(kw, "kx")
    return te.compute(
        (1, groups, *window.out, block),
        lambda n, o, h, w, lane: te.sum(
            data[n, o, h * sh + y * dh, w * sw + x * dw, lane] * weight[o, y, x, lane], axis=[y, x]
        ),
        name="depthwise_conv2d",
    )


def conv2d_transpose(data: Any, weight: Any, inputs: int, window: Window) -> Any:
    """Transposed convolution as one ordinary convolution per phase (``pack_transposed``).

    ``pads`` are those of the transposed convolution: they shorten its output.
    """
    groups, sh, sw, taps_h, taps_w, _, block = shape_of(weight)
    (pad_h, pad_w), (out_h, out_w) = window.pads, window.out
    top, left = taps_h - 1, taps_w - 1
    extent = ((out_h - 1 + pad_h) // sh + taps_h, (out_w - 1 + pad_w) // sw + taps_w)
    data = _with_border(data, (top, left), extent)
    at = _channel_reader(data, block)
    y, x, i = _axis(taps_h, "ky"), _axis(taps_w, "kx"), _axis(inputs, "input")
    return te.compute(
        (1, groups, out_h, out_w, block),
        lambda n, o, h, w, lane: te.sum(
            at(n, i, (h + pad_h) // sh + top - y, (w + pad_w) // sw + left - x)
            * weight[o, (h + pad_h) % sh, (w + pad_w) % sw, y, x, i, lane],
            axis=[y, x, i],
        ),
        name="conv2d_transpose",
    )


def pack(data: Any, block: int) -> Any:
    """``[n, c, h, w]`` to blocks; lanes without a channel are zero."""
    n, channels, h, w = shape_of(data)

    def value(n: Any, o: Any, y: Any, x: Any, lane: Any) -> Any:
        channel = o * block + lane
        if channels % block == 0:
            return data[n, channel, y, x]
        return tirx.if_then_else(channel < channels, data[n, channel, y, x], _zero(data))

    return te.compute((n, blocks_of(channels, block), h, w, block), value, name="pack")


def unpack(data: Any, channels: int) -> Any:
    """Blocks to ``[n, channels, h, w]``."""
    n, _, h, w, block = shape_of(data)
    return te.compute(
        (n, channels, h, w),
        lambda n, c, y, x: data[n, c // block, y, x, c % block],
        name="unpack",
    )


def concatenation(channels: Sequence[int]) -> Callable[..., Any]:
    """Concatenation along the channels of parts that do not fill their last block."""
    starts = [sum(channels[:index]) for index in range(len(channels))]

    def concatenate(*parts: Any) -> Any:
        n, _, h, w, block = shape_of(parts[0])

        def value(n: Any, o: Any, y: Any, x: Any, lane: Any) -> Any:
            channel = o * block + lane
            result = _zero(parts[0])
            # From the last to the first, so that each part's condition is only its end.
            for part, start, count in zip(parts[::-1], starts[::-1], channels[::-1], strict=True):
                own = channel - start
                inside = part[n, own // block, y, x, own % block]
                result = tirx.if_then_else(channel < start + count, inside, result)
            return result

        blocks = blocks_of(sum(channels), block)
        return te.compute((n, blocks, h, w, block), value, name="concatenate")

    return concatenate


def repeat(data: Any, factors: Pair) -> Any:
    """Enlarge by whole factors, each pixel repeated."""
    n, groups, h, w, block = shape_of(data)
    fh, fw = factors
    return te.compute(
        (n, groups, h * fh, w * fw, block),
        lambda n, o, y, x, lane: data[n, o, y // fh, x // fw, lane],
        name="repeat",
    )


def sigmoid(data: Any) -> Any:
    """Of any shape. TVM's own calls the C library for each element, which no vector unit can."""
    return te.compute(data.shape, lambda *at: 1.0 / (1.0 + _exp(-data[at])), name="sigmoid")


def shape_of(tensor: Any) -> tuple[int, ...]:
    return tuple(int(extent) for extent in tensor.shape)


def _channel_reader(data: Any, block: int) -> Callable[..., Any]:
    if len(data.shape) == 4:
        return lambda n, channel, y, x: data[n, channel, y, x]
    return lambda n, channel, y, x: data[n, channel // block, y, x, channel % block]


def _padded(data: Any, window: Window, kernel: Pair) -> Any:
    """``data`` with the border that ``window`` reads, and nothing beyond it."""
    extents = [
        (out - 1) * stride + (size - 1) * dilation + 1
        for out, stride, size, dilation in zip(
            window.out, window.strides, kernel, window.dilation, strict=True
        )
    ]
    return _with_border(data, window.pads, (extents[0], extents[1]))


def _with_border(data: Any, before: Pair, extent: Pair) -> Any:
    """``data`` from ``-before`` on, ``extent`` long in both directions, zero outside."""
    n, groups, h, w, *lanes = shape_of(data)
    (top, left), (rows, columns) = before, extent
    if (top, left) == (0, 0) and rows <= h and columns <= w:
        return data

    def value(n: Any, o: Any, y: Any, x: Any, *lane: Any) -> Any:
        inside = [y >= top] if top else []
        inside += [y < h + top] if rows > h + top else []
        inside += [x >= left] if left else []
        inside += [x < w + left] if columns > w + left else []
        value = data[(n, o, y - top, x - left, *lane)]
        return tirx.if_then_else(tirx.all(*inside), value, _zero(data)) if inside else value

    return te.compute((n, groups, rows, columns, *lanes), value, name="border")


def _axis(extent: int, name: str) -> Any:
    return te.reduce_axis((0, extent), name)


def _exp(x: Any) -> Any:
    """e to the ``x`` in one expression, within 2e-7 of it for ``|x|`` up to 1, 1e-6 up to 20.

    It is 2 to the t = n + f, where n goes straight into the exponent's bits and 2 to the f is a
    polynomial. TVM fuses no function of two stages and counts no ``let``: what occurs more than
    once is written out, and LLVM finds it.
    """
    within = tirx.max(tirx.min(x, _number(88.0)), _number(-87.0))
    t = within * _number(1 / log(2))
    n = tirx.floor(t + _number(0.5))
    f = t - n
    power = _number(_POWER_OF_TWO[0])
    for coefficient in _POWER_OF_TWO[1:]:
        power = power * f + _number(coefficient)
    return power * tirx.reinterpret("float32", (n.astype("int32") + 127) << 23)


def _number(value: float) -> Any:
    return tirx.const(value, "float32")


def _zero(data: Any) -> Any:
    return tirx.const(0.0, data.dtype)
