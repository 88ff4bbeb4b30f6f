"""Following people from frame to frame: who is who, where they will be next, without jitter.

Poses are compared by OKS, and by the overlap of their boxes where that is too little, with the
limits of RTMPose's tracker (section 3.5). Speeds are per second: frames need not be evenly spaced.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgepose.pose.nms import box_iou
from edgepose.pose.oks import oks_between
from edgepose.pose.people import Person
from edgepose.pose.smooth import OneEuroSettings, one_euro_step

SAME_OKS = 0.4
SAME_IOU = 0.4
MISSING_FRAMES = 10  # after which a person who is not seen is forgotten
BOX_PER_POSE = 1.25  # a person's box is that much wider than his key points reach
_SMALLEST = 2.0  # pixels a side of a box to look into
_STEADY_S = 1 / 3  # for how long a velocity may be believed
_NOW_S = 1e-3  # the least time between two frames

# Per second, and speeds in sizes of the person per second: at rest a point follows slowly, from a
# tenth of the person's size per second on nearly at once.
SMOOTHING = OneEuroSettings(min_cutoff=0.5, beta=60.0, speed_cutoff=1.5, joint_speed=True)


@dataclass(frozen=True, eq=False)
class _Tracks:
    """T persons: their last poses [T, K, 3] (x, y, score) as given out, when that was, how fast.

    ``point_speeds`` [T, K, 2] are the smoothing's, ``velocities`` [T, 2] the persons' own, both in
    pixels per second. ``missing`` [T] counts frames.
    """

    ids: NDArray[np.int64]
    poses: NDArray[np.float64]
    point_speeds: NDArray[np.float64]
    boxes: NDArray[np.float64]
    box_scores: NDArray[np.float64]
    velocities: NDArray[np.float64]
    seen_at_s: NDArray[np.float64]
    missing: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, rows: NDArray[Any]) -> "_Tracks":
        return _Tracks(*(getattr(self, each.name)[rows] for each in fields(self)))

    def put(self, rows: NDArray[np.bool_], others: "_Tracks") -> None:
        for each in fields(self):
            getattr(self, each.name)[rows] = getattr(others, each.name)

    def then(self, others: "_Tracks") -> "_Tracks":
        return _Tracks(
            *(
                np.concatenate([getattr(self, each.name), getattr(others, each.name)])
                for each in fields(self)
            )
        )

    def shifts(self, time_s: float) -> NDArray[np.float64]:
        """How far [T, 2] they have probably moved since they were last seen."""
        elapsed_s = np.minimum(time_s - self.seen_at_s, _STEADY_S)
        return self.velocities * elapsed_s[:, None]

    def boxes_at(self, time_s: float) -> NDArray[np.float64]:
        shifts = self.shifts(time_s)
        boxes: NDArray[np.float64] = self.boxes + np.concatenate([shifts, shifts], axis=1)
        return boxes


class Tracker:
    """Gives people of one film their ids, from 1 on, and steadies their key points.

    ``sigmas`` [K] are those of OKS; points with a score up to ``threshold`` do not count.
    """

    def __init__(
        self, sigmas: NDArray[np.float64], threshold: float, *, smooth: bool = True
    ) -> None:
        self._sigmas, self._threshold, self._smooth = sigmas, threshold, smooth
        self.reset()

    def reset(self) -> None:
        """Begin another film: the next person is number 1."""
        self._next_id = 1
        self.forget()

    def forget(self) -> None:
        """Nobody is followed any more; ids go on."""
        nobody = np.zeros((0, len(self._sigmas), 3))
        self._tracks = self._begun(nobody, pose_boxes(nobody, self._threshold), 0.0)

    def expected(
        self, time_s: float, shape: tuple[int, int]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where those who were seen in the last frame probably are: boxes [N, 4], box scores [N].

        ``shape`` is the image's (height, width), which boxes are cut to.
        """
        boxes = np.clip(self._tracks.boxes_at(time_s), 0, np.array([shape[1], shape[0]] * 2))
        seen = (boxes[:, 2:] - boxes[:, :2] >= _SMALLEST).all(axis=1)
        seen &= self._tracks.missing == 0
        return boxes[seen], self._tracks.box_scores[seen]

    def update(
        self, people: Sequence[Person], box_scores: ArrayLike, time_s: float
    ) -> list[Person]:
        """The same ``people`` with ids and, where it is wanted, steadied points.

        ``box_scores`` [N] are those of the boxes that they were found in.
        """
        poses = poses_of(people, len(self._sigmas))
        boxes = pose_boxes(poses, self._threshold)
        owners = self._owners(poses, boxes, time_s)
        is_known = owners >= 0
        known = owners[is_known]
        if is_known.all():
            before = self._tracks.of(known)
        else:
            before = self._begun(poses, boxes, time_s)
            before.put(is_known, self._tracks.of(known))
            new = np.flatnonzero(~is_known)
            before.ids[new] = np.arange(self._next_id, self._next_id + len(new))
            self._next_id += len(new)
        now = self._moved(before, poses, boxes, time_s)
        now.box_scores[:] = box_scores
        self._tracks.missing[:] += 1
        stays = self._tracks.missing <= MISSING_FRAMES
        stays[known] = False
        self._tracks = now.then(self._tracks.of(stays)) if stays.any() else now
        return [
            Person(points, person.scores, person.box, person.score, number)
            for person, points, number in zip(
                people, now.poses[:, :, :2].copy(), now.ids.tolist(), strict=True
            )
        ]

    def _begun(
        self, poses: NDArray[np.float64], boxes: NDArray[np.float64], time_s: float
    ) -> _Tracks:
        """Tracks of people who are seen for the first time; they have no ids yet."""
        count = len(poses)
        return _Tracks(
            ids=np.zeros(count, np.int64),
            poses=poses.copy(),
            point_speeds=np.zeros((count, len(self._sigmas), 2)),
            boxes=boxes.copy(),
            box_scores=np.ones(count),
            velocities=np.zeros((count, 2)),
            seen_at_s=np.full(count, time_s),
            missing=np.zeros(count, np.int64),
        )

    def _owners(
        self, poses: NDArray[np.float64], boxes: NDArray[np.float64], time_s: float
    ) -> NDArray[np.int64]:
        """The index of each pose's track [N]; -1 for a new person."""
        owners = np.full(len(poses), -1)
        tracks = self._tracks
        if not len(poses) or not len(tracks):
            return owners
        there = tracks.poses.copy()
        there[:, :, :2] += tracks.shifts(time_s)[:, None]
        areas = (_areas(tracks.boxes), _areas(boxes))
        alike = oks_between(there, poses, self._sigmas, areas, self._threshold)
        for track, pose in best_pairs(alike, SAME_OKS):
            owners[pose] = track
        if (owners < 0).any() and len(set(owners.tolist()) - {-1}) < len(tracks):
            overlap = box_iou(tracks.boxes_at(time_s), boxes)
            overlap[owners[owners >= 0]] = 0
            overlap[:, owners >= 0] = 0
            for track, pose in best_pairs(overlap, SAME_IOU):
                owners[pose] = track
        return owners

    def _moved(
        self,
        before: _Tracks,
        poses: NDArray[np.float64],
        boxes: NDArray[np.float64],
        time_s: float,
    ) -> _Tracks:
        """The tracks, now that they are where ``poses`` [N, K, 3] are."""
        elapsed_s = np.maximum(time_s - before.seen_at_s, _NOW_S)[:, None]
        both = (poses[:, :, 2:] > self._threshold) & (before.poses[:, :, 2:] > self._threshold)
        # A point that was not seen counts as one that is seen for the first time.
        moved = (poses[:, :, :2] - before.poses[:, :, :2]) * both
        travelled = moved.sum(axis=1) / np.maximum(both.sum(axis=1), 1)
        there, speeds = poses.copy(), before.point_speeds
        if self._smooth:
            sizes = np.sqrt(np.maximum(_areas(boxes), 1.0))
            there[:, :, :2], speeds = one_euro_step(
                poses[:, :, :2],
                moved,
                speeds * both,
                elapsed_s[:, :, None],
                SMOOTHING,
                sizes[:, None, None],
            )
        return replace(
            before,
            poses=there,
            point_speeds=speeds,
            boxes=boxes,
            velocities=(before.velocities + travelled / elapsed_s) / 2,
            seen_at_s=np.full(len(poses), time_s),
            missing=np.zeros(len(poses), np.int64),
        )


def poses_of(people: Sequence[Person], keypoints: int) -> NDArray[np.float64]:
    """Points and scores of all ``people`` [N, K, 3]."""
    poses = np.empty((len(people), keypoints, 3))
    for pose, person in zip(poses, people, strict=True):
        pose[:, :2], pose[:, 2] = person.points, person.scores
    return poses


def pose_boxes(poses: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """Boxes [N, 4] of people by their points [N, K, 3] above ``threshold``; 0 without any."""
    seen = poses[:, :, 2:] > threshold
    low = np.where(seen, poses[:, :, :2], np.inf).min(axis=1)
    high = np.where(seen, poses[:, :, :2], -np.inf).max(axis=1)
    found = seen.any(axis=1)
    low, high = np.where(found, low, 0.0), np.where(found, high, 0.0)
    centre, half = (low + high) / 2, (high - low) * (BOX_PER_POSE / 2)
    return np.concatenate([centre - half, centre + half], axis=1)


def best_pairs(similarity: NDArray[np.float64], least: float) -> list[tuple[int, int]]:
    """Pairs (row, column) of at least ``least``, the most similar first; each counts once."""
    rows, columns = np.nonzero(similarity >= least)
    order = np.argsort(-similarity[rows, columns], kind="stable")
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in pairs and column not in taken:
            pairs[row] = column
            taken.add(column)
    return list(pairs.items())


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    areas: NDArray[np.float64] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas
