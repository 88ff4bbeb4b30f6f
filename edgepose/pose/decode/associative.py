"""Bottom-up nets: heatmaps of all people at once, in two scales."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edgepose.pose.decode.flip import unflipped
from edgepose.pose.decode.grouping import People, group
from edgepose.pose.decode.grouping_fast import group_fast, group_fast_both
from edgepose.pose.decode.heatmap import decode_heatmaps
from edgepose.pose.decode.matching import ORIGINAL
from edgepose.pose.result import Floats, Keypoints
from edgepose.zoo import AssociativeDecoder


def people_in(
    outputs: Sequence[Floats],
    keypoints: int,
    decoder: AssociativeDecoder = ORIGINAL,
    *,
    exact: bool = False,
) -> People:
    """People in one image: out0 [1, 2 K, h, w] heatmaps and tags, out1 [1, K, 2 h, 2 w].

    Points are in cells of a map twice as large as out1. ``exact`` looks at all of that map, as
    HigherHRNet and LitePose do, and else only where people can be. ``decoder`` says which peaks
    count and how near a person's tags are.
    """
    out0, out1 = outputs
    if not exact:
        return group_fast(out0, out1, keypoints, decoder)
    maps = mean_heatmaps(out0, out1, keypoints)[0]
    return _grouped(maps, [out0[0, keypoints:]], decoder)


def people_in_both(
    outputs: Sequence[Floats],
    flipped: Sequence[Floats],
    mirrored: Sequence[int],
    decoder: AssociativeDecoder = ORIGINAL,
    *,
    exact: bool = False,
) -> People:
    """As ``people_in``, with a flip test: ``flipped`` are the outputs for the mirrored image.

    Heatmaps count with their mean, tags with those of both. ``mirrored`` [K] tells in whose place
    each key point is in a mirrored picture.
    """
    if not exact:
        return group_fast_both(outputs, flipped, mirrored, decoder)
    count = len(mirrored)
    order = [*mirrored, *(count + index for index in mirrored)]
    back = [unflipped(flipped[0], order), unflipped(flipped[1], mirrored)]
    maps, again = (mean_heatmaps(each[0], each[1], count)[0] for each in (outputs, back))
    tags = [each[0][0, count:] for each in (outputs, back)]
    return _grouped((maps + again) / 2, tags, decoder)


def _grouped(
    maps: NDArray[np.float32], tags: Sequence[Floats], decoder: AssociativeDecoder
) -> People:
    """People in the maps [K, 2 h, 2 w] with the tags [K, h, w] of each pass of the net."""
    size = (maps.shape[1], maps.shape[2])
    twice = (2 * size[0], 2 * size[1])
    large = np.empty((len(maps), *twice, len(tags)), np.float32)
    for joint, looks in enumerate(zip(*tags, strict=True)):
        for look, cells in enumerate(looks):
            large[joint, ..., look] = _resized(_resized(cells, size), twice)
    return group(_enlarged(maps, twice), large, decoder)


def mean_heatmaps(out0: Floats, out1: Floats, keypoints: int) -> NDArray[np.float32]:
    """Mean [1, K, h/2, w/2] of ``out1`` and the first K maps of ``out0``, enlarged to its size."""
    enlarged = _enlarged(out0[0, :keypoints], (out1.shape[2], out1.shape[3]))
    mean: NDArray[np.float32] = (enlarged + out1[0].astype(np.float32)) / 2
    return mean[None]


def strongest_peaks(
    out0: Floats, out1: Floats, keypoints: int, stride: tuple[float, float]
) -> Keypoints:
    """The strongest peak per joint, whoever's it is, with a quarter offset.

    ``stride`` (x, y) is input pixels per cell of ``out1``; a cell's centre is its position. This
    serves to compare two runs of one net on one image: it does not group joints into people.
    """
    peaks = decode_heatmaps(mean_heatmaps(out0, out1, keypoints), stride)
    centre = np.where(peaks.scores[:, None] > 0, np.array(stride) / 2, 0.0)
    return Keypoints(peaks.points + centre, peaks.scores)


def _enlarged(maps: Floats, size: tuple[int, int]) -> NDArray[np.float32]:
    """Maps [K, h, w] at ``size`` (height, width), bilinearly."""
    large = np.empty((len(maps), *size), np.float32)
    for each, into in zip(maps, large, strict=True):
        _resized(each, size, into)
    return large


def _resized(
    cells: Floats, size: tuple[int, int], into: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    plain = np.ascontiguousarray(cells, np.float32)
    larger = cv2.resize(plain, size[::-1], dst=into, interpolation=cv2.INTER_LINEAR)
    return np.asarray(larger, np.float32)
