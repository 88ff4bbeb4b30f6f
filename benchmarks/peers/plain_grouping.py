"""The grouping of associative embeddings as it was published, step by step, for comparison.

What HigherHRNet (Cheng et al., CVPR 2020) and LitePose (Wang et al., CVPR 2022) do with heatmaps
and tags of the input's size. Both find peaks with torch and give them to people with Munkres; they
differ in how they look for missing joints, person by person in the whole map of every joint:
HigherHRNet with numpy, LitePose with torch. Written for reading, not for speed, as theirs is.
"""

from collections.abc import Callable

import numpy as np
import torch
from munkres import Munkres
from numpy.typing import NDArray

Floats = NDArray[np.float32]
# The best cell (x, y) of a joint's map, given its heatmap [H, W], tags [H, W, T] and the tag [T].
Look = Callable[[Floats, Floats, Floats], tuple[int, int]]


def group(
    heatmaps: Floats, tags: Floats, order: tuple[int, ...], look: Look | None = None
) -> tuple[Floats, list[float]]:
    """People [P, K, 3 + T] (x, y, value, tag) in ``heatmaps`` [K, H, W], ``tags`` [K, H, W, T].

    ``look`` finds a missing joint: ``as_higherhrnet`` (default) or ``as_litepose``.
    """
    people = _match(_best_peaks(heatmaps, tags), order)
    for person in people:
        for joint, row in enumerate(person):
            if row[2] > 0:
                row[:2] = _adjusted(heatmaps[joint], int(row[0]), int(row[1]))
    scores = [float(person[:, 2].mean()) for person in people]
    for person in people:
        _refine(person, heatmaps, tags, look or as_higherhrnet)
    return np.array(people, np.float32), scores


def as_higherhrnet(values: Floats, tag: Floats, wanted: Floats) -> tuple[int, int]:
    distances = ((tag - wanted[None, None]) ** 2).sum(axis=2) ** 0.5
    best = np.argmax(values - np.round(distances))
    y, x = np.unravel_index(best, values.shape)
    return int(x), int(y)


def as_litepose(values: Floats, tag: Floats, wanted: Floats) -> tuple[int, int]:
    tensor, near = torch.from_numpy(values), torch.from_numpy(wanted)
    distances = ((torch.from_numpy(tag) - near) ** 2).sum(dim=2) ** 0.5
    best = int(torch.argmax(tensor - torch.round(distances)))
    return best % values.shape[1], best // values.shape[1]


def _best_peaks(heatmaps: Floats, tags: Floats) -> list[NDArray[np.float64]]:
    """Per joint up to 30 local maxima [N, 3 + T]: x, y, value, tag."""
    maps = torch.from_numpy(heatmaps)[None]
    kept = maps * (torch.nn.functional.max_pool2d(maps, 5, 1, 2) == maps)
    values, cells = kept.reshape(len(heatmaps), -1).topk(30, dim=1)
    found = []
    for value, cell, tag in zip(values.numpy(), cells.numpy(), tags, strict=True):
        y, x = np.unravel_index(cell, heatmaps.shape[1:])
        found.append(np.concatenate([np.stack([x, y, value], axis=-1), tag[y, x]], axis=1))
    return found


def _match(peaks: list[NDArray[np.float64]], order: tuple[int, ...]) -> list[NDArray[np.float64]]:
    people: dict[float, NDArray[np.float64]] = {}
    tags_of: dict[float, list[NDArray[np.float64]]] = {}
    empty = np.zeros((len(peaks), peaks[0].shape[1]))
    for joint in order:
        rows = peaks[joint][peaks[joint][:, 2] > 0.1]
        if not len(rows):
            continue
        keys = list(people)[:30]
        if not keys:
            for row in rows:
                people.setdefault(row[3], empty.copy())[joint] = row
                tags_of[row[3]] = [row[3:]]
            continue
        means = np.array([np.mean(tags_of[key], axis=0) for key in keys])
        distances = np.linalg.norm(rows[:, None, 3:] - means[None], axis=2)
        costs = np.round(distances) * 100 - rows[:, 2:3]
        if len(rows) > len(keys):
            more = np.full((len(rows), len(rows) - len(keys)), 1e10)
            costs = np.concatenate([costs, more], axis=1)
        for row, column in Munkres().compute(costs.tolist()):
            if column < len(keys) and distances[row, column] < 1:
                people[keys[column]][joint] = rows[row]
                tags_of[keys[column]].append(rows[row][3:])
            else:
                key = rows[row][3]
                people.setdefault(key, empty.copy())[joint] = rows[row]
                tags_of[key] = [rows[row][3:]]
    return list(people.values())


def _adjusted(values: Floats, x: int, y: int) -> tuple[float, float]:
    height, width = values.shape
    right, left = values[y, min(x + 1, width - 1)], values[y, max(x - 1, 0)]
    below, above = values[min(y + 1, height - 1), x], values[max(y - 1, 0), x]
    return (
        x + 0.5 + (0.25 if right > left else -0.25),
        y + 0.5 + (0.25 if below > above else -0.25),
    )


def _refine(person: NDArray[np.float64], heatmaps: Floats, tags: Floats, look: Look) -> None:
    """Look in the whole map of every joint, and use what was found where the joint is missing."""
    had = [joint for joint, row in enumerate(person) if row[2] > 0]
    mean = np.mean([tags[j, int(person[j, 1]), int(person[j, 0])] for j in had], axis=0)
    for joint, values in enumerate(heatmaps):
        x, y = look(values, tags[joint], mean)
        point = _adjusted(values, x, y)
        if values[y, x] > 0 and person[joint, 2] == 0:
            person[joint, :2], person[joint, 2] = point, values[y, x]
