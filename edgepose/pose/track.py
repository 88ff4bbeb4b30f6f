"""Following people from frame to frame: who is who, where they will be next, without jitter.

Poses are compared by OKS, and by the overlap of their boxes where that is too little, with the
limits of RTMPose's tracker (section 3.5). Speeds are per second: frames need not be evenly spaced.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgepose.pose.nms import box_areas, box_iou
from edgepose.pose.oks import oks_between
from edgepose.pose.people import Person
from edgepose.pose.smooth import OneEuroSettings, one_euro_step

SAME_OKS = 0.4
SAME_IOU = 0.4
MISSING_FRAMES = 10  # after which a person who is not seen is forgotten
BOX_PER_POSE = 1.25  # a person's box is that much wider than his key points reach
_SMALLEST = 2.0  # pixels a side of a box to look into
_NEW = -1  # the index of the track of who has none
_STEADY_S = 1 / 3  # for how long a velocity may be believed
_NOW_S = 1e-3  # the least time between two frames

# Per second, and speeds in sizes of the person per second: at rest a point follows slowly, from a
# tenth of the person's size per second on nearly at once.
SMOOTHING = OneEuroSettings(min_cutoff=0.5, beta=60.0, speed_cutoff=1.5, joint_speed=True)


_Tracks: TypeAlias = NDArray[np.void]  # [T] of what ``_track_type`` says


def _track_type(keypoints: int) -> np.dtype[np.void]:
    """One person: the last pose (x, y, score) as given out, when that was, how fast.

    ``point_speeds`` are the smoothing's, ``velocity`` is the person's own, both in pixels per
    second. ``missing`` counts frames.
    """
    return np.dtype(
        [
            ("id", np.int64),
            ("pose", np.float64, (keypoints, 3)),
            ("point_speeds", np.float64, (keypoints, 2)),
            ("box", np.float64, 4),
            ("box_score", np.float64),
            ("velocity", np.float64, 2),
            ("seen_at_s", np.float64),
            ("missing", np.int64),
        ]
    )


@dataclass(frozen=True, eq=False)
class Sight:
    """People of one frame: ``poses`` [N, K, 3], their ``boxes`` [N, 4], and the OKS of each with
    where those who are followed probably are by now, ``known`` [N, T].
    """

    poses: NDArray[np.float64]
    boxes: NDArray[np.float64]
    known: NDArray[np.float64]

    def of(self, rows: NDArray[np.intp]) -> "Sight":
        return Sight(self.poses[rows], self.boxes[rows], self.known[rows])


class Tracker:
    """Gives people of one film their ids, from 1 on, and steadies their key points.

    ``sigmas`` [K] are those of OKS; points with a score up to ``threshold`` do not count.
    """

    def __init__(
        self, sigmas: NDArray[np.float64], threshold: float, *, smooth: bool = True
    ) -> None:
        self._sigmas, self._threshold, self._smooth = sigmas, threshold, smooth
        self._type = _track_type(len(sigmas))
        self.reset()

    def reset(self) -> None:
        """Begin another film: the next person is number 1."""
        self._next_id = 1
        self.forget()

    def forget(self) -> None:
        """Nobody is followed any more; ids go on."""
        self._tracks: _Tracks = np.zeros(0, self._type)

    def expected(
        self, time_s: float, shape: tuple[int, int]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where those who were seen in the last frame probably are: boxes [N, 4], box scores [N].

        ``shape`` is the image's (height, width), which boxes are cut to.
        """
        boxes = np.clip(_boxes_at(self._tracks, time_s), 0, np.array([shape[1], shape[0]] * 2))
        seen = (boxes[:, 2:] - boxes[:, :2] >= _SMALLEST).all(axis=1)
        seen &= self._tracks["missing"] == 0
        return boxes[seen], self._tracks["box_score"][seen]

    def look(self, people: Sequence[Person], time_s: float) -> tuple[Sight, NDArray[np.float64]]:
        """What is to be known of ``people`` for ``update``; and the OKS [N, N] of any two."""
        poses = poses_of(people, len(self._sigmas))
        boxes = pose_boxes(poses, self._threshold)
        there = self._tracks["pose"].copy()
        there[:, :, :2] += _shifts(self._tracks, time_s)[:, None]
        # All at once: of a few people each call takes as long as its numbers.
        everyone, own = np.concatenate([poses, there]), box_areas(boxes)
        areas = own, np.concatenate([own, box_areas(self._tracks["box"])])
        alike = oks_between(poses, everyone, self._sigmas, areas, self._threshold)
        return Sight(poses, boxes, alike[:, len(poses) :]), alike[:, : len(poses)]

    def update(
        self,
        people: Sequence[Person],
        box_scores: ArrayLike,
        time_s: float,
        sight: Sight | None = None,
    ) -> list[Person]:
        """The same ``people`` with ids and, where it is wanted, steadied points.

        ``box_scores`` [N] are those of the boxes that they were found in, ``sight`` is what
        ``look`` tells of them, where it was asked before.
        """
        sight = sight or self.look(people, time_s)[0]
        owners = self._owners(sight, time_s)
        now = self._known_or_new(owners, sight.poses, time_s)
        self._move(now, sight, time_s)
        now["box_score"] = box_scores
        self._tracks = self._with_lost(now, owners)
        points = now["pose"][:, :, :2].copy()
        return [
            Person(place, person.scores, person.box, person.score, number)
            for person, place, number in zip(people, points, now["id"].tolist(), strict=True)
        ]

    def _known_or_new(
        self, owners: list[int], poses: NDArray[np.float64], time_s: float
    ) -> _Tracks:
        """The track [N] of each pose before it moves there; who is new has been there already."""
        if _NEW not in owners:
            return self._tracks[owners]
        known = [pose for pose, track in enumerate(owners) if track != _NEW]
        new = [pose for pose, track in enumerate(owners) if track == _NEW]
        tracks: _Tracks = np.zeros(len(owners), self._type)
        tracks[known] = self._tracks[[owners[pose] for pose in known]]
        tracks["id"][new] = range(self._next_id, self._next_id + len(new))
        tracks["pose"][new] = poses[new]
        tracks["seen_at_s"][new] = time_s
        self._next_id += len(new)
        return tracks

    def _with_lost(self, now: _Tracks, owners: list[int]) -> _Tracks:
        """The tracks as they are ``now``, and those of who is not seen, but was not long ago."""
        lost = sorted(set(range(len(self._tracks))) - set(owners))
        if not lost:
            return now
        others = self._tracks[lost]
        others["missing"] += 1
        return np.concatenate([now, others[others["missing"] <= MISSING_FRAMES]])

    def _owners(self, sight: Sight, time_s: float) -> list[int]:
        """The index of each pose's track [N]."""
        count, tracks = len(sight.poses), self._tracks
        owners = [_NEW] * count
        pairs = best_pairs(sight.known.T, SAME_OKS)
        for track, pose in pairs:
            owners[pose] = track
        if len(pairs) < min(count, len(tracks)):
            overlap = box_iou(_boxes_at(tracks, time_s), sight.boxes)
            for track, pose in pairs:
                overlap[track] = overlap[:, pose] = 0
            for track, pose in best_pairs(overlap, SAME_IOU):
                owners[pose] = track
        return owners

    def _move(self, tracks: _Tracks, sight: Sight, time_s: float) -> None:
        """The ``tracks`` are now where the poses are."""
        poses, boxes = sight.poses, sight.boxes
        elapsed_s = np.maximum(time_s - tracks["seen_at_s"], _NOW_S)[:, None]
        both = (poses[:, :, 2:] > self._threshold) & (tracks["pose"][:, :, 2:] > self._threshold)
        # A point that was not seen counts as one that is seen for the first time.
        moved = np.where(both, poses[:, :, :2] - tracks["pose"][:, :, :2], 0.0)
        travelled = moved.sum(axis=1) / np.maximum(both.sum(axis=1), 1)
        tracks["velocity"] = (tracks["velocity"] + travelled / elapsed_s) / 2
        tracks["pose"] = poses
        if self._smooth:
            sizes = np.sqrt(np.maximum(box_areas(boxes), 1.0))
            tracks["pose"][:, :, :2], tracks["point_speeds"] = one_euro_step(
                poses[:, :, :2],
                moved,
                tracks["point_speeds"] * both,
                elapsed_s[:, :, None],
                SMOOTHING,
                sizes[:, None, None],
            )
        tracks["box"], tracks["seen_at_s"], tracks["missing"] = boxes, time_s, 0


def poses_of(people: Sequence[Person], keypoints: int) -> NDArray[np.float64]:
    """Points and scores of all ``people`` [N, K, 3]."""
    poses = np.empty((len(people), keypoints, 3))
    for pose, person in zip(poses, people, strict=True):
        pose[:, :2], pose[:, 2] = person.points, person.scores
    return poses


def pose_boxes(poses: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """Boxes [N, 4] of people by their points [N, K, 3] above ``threshold``; 0 without any."""
    points, seen = poses[:, :, :2], poses[:, :, 2:] > threshold
    low = np.where(seen, points, np.inf).min(axis=1)
    high = np.where(seen, points, -np.inf).max(axis=1)
    nothing = low > high
    low[nothing] = high[nothing] = 0
    more = (high - low) * ((BOX_PER_POSE - 1) / 2)
    return np.concatenate([low - more, high + more], axis=1)


def best_pairs(similarity: NDArray[np.float64], least: float) -> list[tuple[int, int]]:
    """Pairs (row, column) of at least ``least``, the most similar first; each counts once."""
    rows, columns = (similarity >= least).nonzero()
    values = similarity[rows, columns]
    found = zip(values.tolist(), rows.tolist(), columns.tolist(), strict=True)
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for _, row, column in sorted(found, key=itemgetter(0), reverse=True):
        if row not in pairs and column not in taken:
            pairs[row] = column
            taken.add(column)
    return list(pairs.items())


def _shifts(tracks: _Tracks, time_s: float) -> NDArray[np.float64]:
    """How far [T, 2] they have probably moved since they were last seen."""
    elapsed_s = np.minimum(time_s - tracks["seen_at_s"], _STEADY_S)
    shifts: NDArray[np.float64] = tracks["velocity"] * elapsed_s[:, None]
    return shifts


def _boxes_at(tracks: _Tracks, time_s: float) -> NDArray[np.float64]:
    shifts = _shifts(tracks, time_s)
    boxes: NDArray[np.float64] = tracks["box"] + np.concatenate([shifts, shifts], axis=1)
    return boxes
