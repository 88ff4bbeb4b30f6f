"""Whose a joint's peaks are: those of one person have tags close together.

Newell et al., "Associative Embedding", NeurIPS 2017, as HigherHRNet and LitePose do it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgepose.zoo import AssociativeDecoder

# That of the original code: least value of a peak, largest distance of a person's tags, peaks per
# joint and people that a joint may be given to.
ORIGINAL = AssociativeDecoder()
_PAD_COST = 1e10

# Trunk and legs before elbows and wrists: head first, as the original code has them.
COCO_ORDER = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)
# The first 14 of COCO's order, whatever these joints are: the original code's.
CROWDPOSE_ORDER = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13)


@dataclass(frozen=True, eq=False)
class Peaks:
    """Of all joints, by joint and best first: in the map of which of the ``joints`` [N], in which
    ``cells`` [N, 2] (x, y), and the ``values`` [N] and ``tags`` [N, T] there.
    """

    joints: NDArray[np.int64]
    cells: NDArray[np.int64]
    values: NDArray[np.float32]
    tags: NDArray[np.float32]


def best_of_each(
    joints: NDArray[np.int64], values: NDArray[np.float32], most: int
) -> NDArray[np.int64]:
    """Numbers of at most ``most`` peaks per joint, as `Peaks` has them: ``joints`` [N].

    Equally good ones stay in their order.
    """
    order = np.lexsort((-values, joints))
    begin = np.searchsorted(joints[order], np.arange(joints.max(initial=0) + 1))
    rank = np.arange(len(order)) - begin[joints[order]]
    best: NDArray[np.int64] = order[rank < most]
    return best


def joint_order(count: int) -> tuple[int, ...]:
    """The order in which ``count`` joints are grouped."""
    known = {len(COCO_ORDER): COCO_ORDER, len(CROWDPOSE_ORDER): CROWDPOSE_ORDER}
    return known.get(count, tuple(range(count)))


def match(peaks: Peaks, count: int, decoder: AssociativeDecoder = ORIGINAL) -> NDArray[np.float64]:
    """Peaks of K = ``count`` joints to persons [P, K, 3 + T]: x, y, value, tag; zeros for none.

    Each joint's peaks go to the persons begun by the joints before, nearest mean tag first, equal
    distances (rounded to whole numbers) to the better peak; who is too far away is a new person.
    Those whose value or tag is not a finite number belong to nobody.
    """
    sound = np.isfinite(peaks.values) & np.isfinite(peaks.tags).all(axis=1)
    rows = np.concatenate([peaks.cells, peaks.values[:, None], peaks.tags], axis=1)[sound]
    all_tags = peaks.tags[sound]
    ends = np.searchsorted(peaks.joints[sound], np.arange(count + 1)).tolist()
    joints = np.zeros((len(rows), count, rows.shape[1]))
    sums, counts = np.zeros_like(all_tags), np.zeros((len(rows), 1), np.float32)
    # By the first number of the first tag: who has the very same one replaces the other.
    numbers: dict[float, int] = {}
    for index in joint_order(count):
        part = slice(ends[index], ends[index + 1])
        mine, tags = rows[part], all_tags[part]
        known = min(len(numbers), decoder.max_people)  # to whom a joint may be given
        persons = _owners(mine, sums[:known] / counts[:known], decoder.tag_threshold)
        more = persons >= 0
        if not more.all():
            (new,) = np.nonzero(~more)
            for row, tag in zip(new.tolist(), tags[new, 0].tolist(), strict=True):
                persons[row] = numbers.setdefault(tag, len(numbers))
            sums[persons[new]], counts[persons[new]] = tags[new], 1
            # Whose tag a new person has, he begins anew: what he got just before is lost.
            begun = np.full(len(numbers), -1)
            begun[persons[new]] = new
            more &= np.arange(len(persons)) > begun[persons]
        joints[persons, index] = mine  # to one person several times: the last one stays
        sums[persons[more]] += tags[more]
        counts[persons[more]] += 1
    return joints[: len(numbers)]


def _owners(
    rows: NDArray[np.float64], means: NDArray[np.float32], reach: float
) -> NDArray[np.int64]:
    """Which person, by mean tag [P, T], each peak [N, 3 + T] goes to; -1 for a new one."""
    if not len(rows) or not len(means):
        return np.full(len(rows), -1)
    # Here, so that boards without it, for it is compiled code, have the other decoders.
    from munkres import linear_sum_assignment

    distances = np.linalg.norm(rows[:, None, 3:] - means[None], ord=2, axis=2)
    costs = np.round(distances) * 100 - rows[:, 2:3]
    short = len(rows) - len(means)
    if short > 0:
        costs = np.concatenate([costs, np.full((len(rows), short), _PAD_COST)], axis=1)
    # It takes the array as it is, unlike `Munkres.compute`, which finds the same.
    _, chosen = linear_sum_assignment(costs)
    real = chosen < len(means)
    near = distances[np.arange(len(rows)), np.where(real, chosen, 0)] < reach
    return np.where(real & near, chosen, -1)
