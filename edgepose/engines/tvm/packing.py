"""Weights in the order in which blocked kernels read them: plain arrays, no tvm.

A block is ``block`` neighbouring channels, as many as a vector register holds. The last one is
filled up with zeros.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def blocks_of(channels: int, block: int) -> int:
    """How many blocks hold ``channels``."""
    return -(-channels // block)


def pack_activation(values: Array, block: int) -> Array:
    """``[n, c, h, w]`` to ``[n, c/block, h, w, block]``."""
    n, _, h, w = values.shape
    return _order(_fill(values, 1, block).reshape(n, -1, block, h, w), 0, 1, 3, 4, 2)


def pack_dense(weight: Array, block: int) -> Array:
    """``[o, i, kh, kw]`` to ``[o/block, kh, kw, i, block]``."""
    _, i, kh, kw = weight.shape
    return _order(_fill(weight, 0, block).reshape(-1, block, i, kh, kw), 0, 3, 4, 2, 1)


def pack_depthwise(weight: Array, block: int) -> Array:
    """``[c, 1, kh, kw]`` to ``[c/block, kh, kw, block]``."""
    _, _, kh, kw = weight.shape
    return _order(_fill(weight, 0, block).reshape(-1, block, kh, kw), 0, 2, 3, 1)


def pack_transposed(weight: Array, block: int, strides: tuple[int, int]) -> Array:
    """``[i, o, kh, kw]`` to ``[o/block, sh, sw, kh/sh, kw/sw, i, block]``: kernels by phase.

    Output row ``y`` of stride ``s`` sees only the taps ``k`` with ``(y + pad - k) % s == 0``, which
    is an ordinary convolution with the taps ``phase, phase + s, ...`` for each of ``s`` phases.
    """
    i = weight.shape[0]
    sh, sw = strides
    full = _fill(_fill(_fill(weight, 1, block), 2, sh), 3, sw)
    taps_h, taps_w = full.shape[2] // sh, full.shape[3] // sw
    return _order(full.reshape(i, -1, block, taps_h, sh, taps_w, sw), 1, 4, 6, 3, 5, 0, 2)


def _fill(values: Array, axis: int, multiple: int) -> Array:
    missing = -values.shape[axis] % multiple
    widths = [(0, missing if each == axis else 0) for each in range(values.ndim)]
    return np.pad(values, widths) if missing else values


def _order(values: Array, *axes: int) -> Array:
    return np.ascontiguousarray(values.transpose(axes))
