"""What the key points of each data set are called, which mirror each other, what joins them.

The orders are those of the data sets: COCO (pycocotools), CrowdPose, MPII, COCO-WholeBody (arXiv
2007.11858, figure 2; its face is that of 300-W), AP-10K (arXiv 2108.12617, table 2), and AIC with
COCO, as RTMPose's backbones are pre-trained. Left and right are the person's own.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from edgepose.zoo import ModelSpec

Side = Literal["left", "right", "centre"]
_Link = tuple[int, int]


@dataclass(frozen=True)
class Limb:
    """A line between two key points, by their indices."""

    start: int
    end: int
    side: Side


@dataclass(frozen=True)
class KeypointSet:
    """``pairs`` are (left, right) indices of points that trade places in a mirrored picture.

    Points from ``details_from`` on, and the limbs that end there, are small: faces and hands.
    """

    name: str
    names: tuple[str, ...]
    sides: tuple[Side, ...]
    pairs: tuple[_Link, ...]
    limbs: tuple[Limb, ...]
    details_from: int

    @property
    def mirrored(self) -> tuple[int, ...]:
        """For each point the index of the one in whose place it is in a mirrored picture."""
        order = list(range(len(self.names)))
        for left, right in self.pairs:
            order[left], order[right] = right, left
        return tuple(order)


def keypoint_set(spec: ModelSpec) -> KeypointSet:
    """The set of ``spec``'s data set, or else the best known one of as many points.

    A set that we do not know has neither pairs nor limbs.
    """
    known = _SETS.get(spec.dataset)
    if known and len(known.names) == spec.keypoints:
        return known
    return _BY_COUNT.get(spec.keypoints) or _unknown(spec.keypoints)


def _unknown(count: int) -> KeypointSet:
    return _make(f"{count} points", tuple(f"point_{index}" for index in range(count)), ())


def _make(
    name: str,
    names: tuple[str, ...],
    links: tuple[tuple[str, str], ...],
    *,
    more_links: tuple[_Link, ...] = (),
    more_pairs: tuple[_Link, ...] = (),
    details_from: int | None = None,
) -> KeypointSet:
    """A set whose sides and pairs follow from its names, but for ``more_pairs``."""
    index = {name: number for number, name in enumerate(names)}
    sides = [_side(name) for name in names]
    pairs = [
        (index[name], index[name.replace("left", "right", 1)])
        for name in names
        if _side(name) == "left"
    ]
    for left, right in more_pairs:
        sides[left], sides[right] = "left", "right"
    linked = [(index[start], index[end]) for start, end in links] + list(more_links)
    return KeypointSet(
        name=name,
        names=names,
        sides=tuple(sides),
        pairs=(*pairs, *more_pairs),
        limbs=tuple(Limb(start, end, _common(sides[start], sides[end])) for start, end in linked),
        details_from=len(names) if details_from is None else details_from,
    )


def _side(name: str) -> Side:
    return (
        "left" if name.startswith("left_") else "right" if name.startswith("right_") else "centre"
    )


def _common(side: Side, other: Side) -> Side:
    """A limb that only one end puts on a side is on that side; one from left to right on none."""
    if "centre" in (side, other):
        return side if other == "centre" else other
    return side if side == other else "centre"


def _both(*links: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """The same links on the left and on the right."""
    return tuple(
        (f"{side}_{start}", f"{side}_{end}") for side in ("left", "right") for start, end in links
    )


_COCO = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear"),
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    *("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
)
_TRUNK = (
    ("left_shoulder", "right_shoulder"),
    ("left_hip", "right_hip"),
    *_both(("shoulder", "hip")),
)
_LIMBS = _both(("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
_HEAD = (
    *(("nose", "left_eye"), ("nose", "right_eye")),
    *_both(("eye", "ear"), ("ear", "shoulder")),
)

_CROWDPOSE = (
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    *("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
    *("top_head", "neck"),
)

_MPII = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
    *("pelvis", "thorax", "upper_neck", "head_top"),
    *("right_wrist", "right_elbow", "right_shoulder"),
    *("left_shoulder", "left_elbow", "left_wrist"),
)

_AP10K = (
    *("left_eye", "right_eye", "nose", "neck", "root_of_tail"),
    *("left_shoulder", "left_elbow", "left_front_paw"),
    *("right_shoulder", "right_elbow", "right_front_paw"),
    *("left_hip", "left_knee", "left_back_paw"),
    *("right_hip", "right_knee", "right_back_paw"),
)

_FEET = tuple(
    f"{side}_{part}" for side in ("left", "right") for part in ("big_toe", "small_toe", "heel")
)
_FACE_FROM, _FACE_COUNT = 23, 68
_FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
_HANDS = tuple(
    f"{side}_{part}"
    for side in ("left", "right")
    for part in ("hand_root", *(f"{name}{joint}" for name in _FINGERS for joint in range(1, 5)))
)
_HAND_LINKS = tuple(
    link
    for name in _FINGERS
    for link in (
        ("hand_root", f"{name}1"),
        *((f"{name}{joint}", f"{name}{joint + 1}") for joint in range(1, 4)),
    )
)


def _face_links() -> tuple[_Link, ...]:
    """Jaw, brows and the two strokes of the nose are open lines; eyes and lips are closed."""
    open_lines = ((0, 17), (17, 22), (22, 27), (27, 31), (31, 36))
    closed = ((36, 42), (42, 48), (48, 60), (60, 68))
    links = [link for first, end in open_lines + closed for link in pairwise(range(first, end))]
    links += [(end - 1, first) for first, end in closed]
    return tuple((start + _FACE_FROM, end + _FACE_FROM) for start, end in links)


def _face_pairs() -> tuple[_Link, ...]:
    """300-W counts from the person's right to the left, but goes around eyes and lips."""
    mirrors = (
        *(range(16, 8, -1), range(26, 21, -1), (35, 34)),  # jaw, brows, nostrils
        *((45, 44, 43, 42), (47, 46)),  # upper and lower lids
        *((54, 53, 52), (55, 56), (64, 63), (65,)),  # lips: outer upper and lower, inner likewise
    )
    rights = (
        *(range(8), range(17, 22), (31, 32)),
        *((36, 37, 38, 39), (40, 41)),
        *((48, 49, 50), (59, 58), (60, 61), (67,)),
    )
    return tuple(
        (left + _FACE_FROM, right + _FACE_FROM)
        for lefts, others in zip(mirrors, rights, strict=True)
        for left, right in zip(lefts, others, strict=True)
    )


COCO = _make("COCO", _COCO, (*_TRUNK, *_HEAD, *_LIMBS))
CROWDPOSE = _make(
    "CrowdPose",
    _CROWDPOSE,
    (
        *_both(("shoulder", "hip")),
        *(("left_hip", "right_hip"), ("top_head", "neck")),
        *(("neck", "left_shoulder"), ("neck", "right_shoulder")),
        *_LIMBS,
    ),
)
MPII = _make(
    "MPII",
    _MPII,
    (
        *(("pelvis", "thorax"), ("thorax", "upper_neck"), ("upper_neck", "head_top")),
        *(("thorax", "left_shoulder"), ("thorax", "right_shoulder")),
        *(("pelvis", "left_hip"), ("pelvis", "right_hip")),
        *_LIMBS,
    ),
)
WHOLEBODY = _make(
    "COCO-WholeBody",
    (*_COCO, *_FEET, *(f"face_{index}" for index in range(_FACE_COUNT)), *_HANDS),
    (
        *(*_TRUNK, *_HEAD, *_LIMBS),
        *_both(("ankle", "big_toe"), ("ankle", "small_toe"), ("ankle", "heel"), *_HAND_LINKS),
    ),
    more_links=_face_links(),
    more_pairs=_face_pairs(),
    details_from=_FACE_FROM,
)
AP10K = _make(
    "AP-10K",
    _AP10K,
    (
        *(("left_eye", "right_eye"), ("left_eye", "nose"), ("right_eye", "nose")),
        *(("nose", "neck"), ("neck", "root_of_tail")),
        *(("neck", "left_shoulder"), ("neck", "right_shoulder")),
        *(("root_of_tail", "left_hip"), ("root_of_tail", "right_hip")),
        *_both(
            *(("shoulder", "elbow"), ("elbow", "front_paw"), ("hip", "knee"), ("knee", "back_paw"))
        ),
    ),
)
AIC_COCO = _make(
    "AIC and COCO", (*_COCO, "head_top", "neck"), (*_TRUNK, ("head_top", "neck"), *_HEAD, *_LIMBS)
)

_SETS = {
    "coco": COCO,
    "crowdpose": CROWDPOSE,
    "mpii": MPII,
    "coco-wholebody": WHOLEBODY,
    "ap10k": AP10K,
    "aic-coco": AIC_COCO,
}
_BY_COUNT = {
    len(known.names): known for known in (COCO, CROWDPOSE, MPII, WHOLEBODY, AIC_COCO)
}  # AP-10K has as many points as COCO
