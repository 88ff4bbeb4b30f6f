"""The grouping of associative embeddings as it was published, step by step, for comparison.

What HigherHRNet (Cheng et al., CVPR 2020) and LitePose do with heatmaps and tags of the input's
size. It is written for reading, not for speed, as the published code is.
"""

import numpy as np
from munkres import Munkres
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

Floats = NDArray[np.float32]


def group(heatmaps: Floats, tags: Floats, order: tuple[int, ...]) -> tuple[Floats, list[float]]:
    """People [P, K, 3 + T] (x, y, value, tag) in ``heatmaps`` [K, H, W], ``tags`` [K, H, W, T]."""
    people = _match(_best_peaks(heatmaps, tags), order)
    for person in people:
        for joint, row in enumerate(person):
            if row[2] > 0:
                row[:2] = _adjusted(heatmaps[joint], int(row[0]), int(row[1]))
    scores = [float(person[:, 2].mean()) for person in people]
    for person in people:
        _refine(person, heatmaps, tags)
    return np.array(people, np.float32), scores


def _best_peaks(heatmaps: Floats, tags: Floats) -> list[NDArray[np.float64]]:
    """Per joint up to 30 local maxima [N, 3 + T]: x, y, value, tag."""
    found = []
    for values, tag in zip(heatmaps, tags, strict=True):
        peaks = np.where(maximum_filter(values, 5, mode="nearest") == values, values, 0)
        best = np.argsort(-peaks, axis=None, kind="stable")[:30]
        y, x = np.unravel_index(best, values.shape)
        rows = np.concatenate([np.stack([x, y, peaks[y, x]], axis=-1), tag[y, x]], axis=1)
        found.append(rows)
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
            costs = np.pad(costs, ((0, 0), (0, len(rows) - len(keys))), constant_values=1e10)
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


def _refine(person: NDArray[np.float64], heatmaps: Floats, tags: Floats) -> None:
    """Look in the whole map of every joint, and use what was found where the joint is missing."""
    had = [joint for joint, row in enumerate(person) if row[2] > 0]
    mean = np.mean([tags[j, int(person[j, 1]), int(person[j, 0])] for j in had], axis=0)
    for joint, values in enumerate(heatmaps):
        distances = np.sqrt(((tags[joint] - mean) ** 2).sum(axis=2))
        y, x = np.unravel_index(np.argmax(values - np.round(distances)), values.shape)
        point = _adjusted(values, int(x), int(y))
        if values[y, x] > 0 and person[joint, 2] == 0:
            person[joint, :2], person[joint, 2] = point, values[y, x]
