"""Made-up outputs of a bottom-up net for so many people, and where their joints really are."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgepose.evaluate.datasets import DATASETS
from edgepose.evaluate.truth import Annotated, TruePerson, Truth
from edgepose.pose.decode.flip import unflipped
from edgepose.pose.keypoint_sets import keypoint_set
from edgepose.zoo import model_spec

Floats = NDArray[np.float32]
INPUT = 448  # pixels a side
JOINTS = 17
# A standing person in a box of height 1 and width 0.4: x, y of COCO's joints.
_BODY = np.array(
    [
        *[(0.20, 0.08), (0.22, 0.06), (0.18, 0.06), (0.25, 0.08), (0.15, 0.08)],
        *[(0.31, 0.20), (0.09, 0.20), (0.36, 0.35), (0.04, 0.35), (0.38, 0.48), (0.02, 0.48)],
        *[(0.27, 0.50), (0.13, 0.50), (0.28, 0.74), (0.12, 0.74), (0.29, 0.97), (0.11, 0.97)],
    ]
)
# So many of the joints below the head are too faint to be grouped: the decoder looks for them
# afterwards. Everyone's nose is found: who is met later upsets the original's assignment.
_FAINT, _HEAD = 0.2, 5
_ERROR = 0.02  # of a person's height: how far the net is off
_TAG_STEP = 1.5  # between the tags of two people


@dataclass(frozen=True, eq=False)
class Crowd:
    """``out0`` [1, 34, 112, 112], ``out1`` [1, 17, 224, 224]; ``joints`` [P, 17, 2] in pixels.

    ``mirrored`` are both outputs for the mirrored picture.
    """

    out0: Floats
    out1: Floats
    joints: NDArray[np.float64]
    mirrored: tuple[Floats, Floats]

    def enlarged(self, flip: bool = False) -> tuple[Floats, Floats]:
        """Heatmaps [17, 448, 448] and tags [17, 448, 448, T], as the original code groups them.

        With the flip test there are two tags, and heatmaps are the mean of both looks.
        """
        looks = [(self.out0, self.out1)]
        if flip:
            looks.append(_turned(self.mirrored))
        maps = [(_resized(out0[0, :JOINTS], INPUT // 2) + out1[0]) / 2 for out0, out1 in looks]
        tags = [_resized(_resized(out0[0, JOINTS:], INPUT // 2), INPUT) for out0, _ in looks]
        mean = np.mean([_resized(each, INPUT) for each in maps], axis=0, dtype=np.float32)
        return mean, np.stack(tags, axis=-1)


def crowd(people: int, seed: int = 0) -> Crowd:
    """``people`` side by side in rows, each a little out of his place and pose."""
    random, other = (np.random.default_rng([seed, people, *more]) for more in ((), (1,)))
    looks = [_Look(random), _Look(other)]
    joints = _bodies(people, random)
    heights = np.ptp(joints[..., 1], axis=1)[:, None, None]
    seen = np.clip(joints + random.normal(0, _ERROR, joints.shape) * heights, 3, INPUT - 4)
    for person, body in enumerate(seen):
        for joint, place in enumerate(body):
            faint = joint >= _HEAD and random.random() < _FAINT
            value = random.uniform(0.02, 0.09) if faint else random.uniform(0.3, 1.0)
            for each in looks:
                each.add(joint, place, value, _TAG_STEP * (person - people / 2))
    (out0, out1), second = (each.outputs() for each in looks)
    return Crowd(out0, out1, joints, _turned(second))


class _Look:
    """What the net makes of one look at the picture: the same joints in noise of its own."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._maps = [_noise(random, size, 0.01) for size in (INPUT // 4, INPUT // 2)]
        self._tags = _noise(random, INPUT // 4, 1.0)

    def add(self, joint: int, place: NDArray[np.float64], value: float, tag: float) -> None:
        for cells, stride in zip(self._maps, (4, 2), strict=True):
            where, peak = _peak(place / stride - 0.5, len(cells[0]))
            cells[joint][where] = np.maximum(cells[joint][where], value * peak)
        where, peak = _peak(place / 4 - 0.5, len(self._tags[0]))
        own = self._maps[0][joint][where] <= value * peak * 1.01
        self._tags[joint][where][own] = tag + self._random.normal(0, 0.05)

    def outputs(self) -> tuple[Floats, Floats]:
        return np.concatenate([self._maps[0], self._tags])[None], self._maps[1][None]


def sides() -> tuple[int, ...]:
    """In whose place each joint is in a mirrored picture."""
    return keypoint_set(model_spec("litepose-xs")).mirrored


def _turned(outputs: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Those for the mirrored picture to those for the picture, and back."""
    both = [*sides(), *(JOINTS + side for side in sides())]
    out0, out1 = (unflipped(*each) for each in zip(outputs, (both, sides()), strict=True))
    return np.ascontiguousarray(out0), np.ascontiguousarray(out1)


def truth_of(crowds: list[Crowd]) -> Truth:
    """What is really there, as an annotation file of COCO would say it."""
    people = [
        TruePerson(image, 1, _seen(body), _box(body), float(np.ptp(body, axis=0).prod()), JOINTS)
        for image, each in enumerate(crowds)
        for body in each.joints
    ]
    images = tuple(Annotated(image, f"{image}.png") for image in range(len(crowds)))
    return Truth(DATASETS["coco"], "", images, tuple(people))


def _bodies(people: int, random: np.random.Generator) -> NDArray[np.float64]:
    columns = int(np.ceil(np.sqrt(2 * people)))
    rows = int(np.ceil(people / columns))
    height = 0.85 * min(INPUT / rows, INPUT / columns / 0.4)
    places = np.stack(np.divmod(np.arange(people), columns), axis=-1)[:, ::-1]
    corners = places * [INPUT / columns, INPUT / rows] + random.uniform(4, 12, (people, 2))
    poses = _BODY + random.normal(0, 0.015, (people, *_BODY.shape))
    bodies: NDArray[np.float64] = np.clip(corners[:, None] + poses * height, 3, INPUT - 4)
    return bodies


def _peak(place: NDArray[np.float64], size: int) -> tuple[tuple[slice, slice], Floats]:
    """A Gaussian of two cells around (x, y): where it is in a map, and its values there."""
    low = np.maximum(place.astype(int) - 6, 0)
    high = np.minimum(place.astype(int) + 8, size)
    columns, rows = (np.arange(*ends) for ends in zip(low, high, strict=True))
    squared = (rows[:, None] - place[1]) ** 2 + (columns - place[0]) ** 2
    where = (slice(low[1], high[1]), slice(low[0], high[0]))
    return where, np.exp(-squared / 8).astype(np.float32)


def _noise(random: np.random.Generator, size: int, scale: float) -> Floats:
    noise = random.normal(0, scale, (JOINTS, size, size)).astype(np.float32)
    return np.stack([cv2.GaussianBlur(each, (0, 0), 2) for each in noise])


def _resized(maps: Floats, size: int) -> Floats:
    return np.stack([cv2.resize(each, (size, size)) for each in maps])


def _seen(body: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([body, np.full(JOINTS, 2.0)])


def _box(body: NDArray[np.float64]) -> tuple[float, float, float, float]:
    left, top, right, bottom = (*body.min(axis=0), *body.max(axis=0))
    return float(left), float(top), float(right), float(bottom)
