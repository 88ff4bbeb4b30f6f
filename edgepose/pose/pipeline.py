"""From frames to people: find them, estimate their poses, follow them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgepose.errors import UsageError
from edgepose.pose.keypoint_sets import keypoint_set
from edgepose.pose.nets import BottomUp, Detector, TopDown
from edgepose.pose.nms import box_iou
from edgepose.pose.oks import sigmas_for
from edgepose.pose.people import Person
from edgepose.pose.pose_nms import distinct
from edgepose.pose.preprocess import to_bgr
from edgepose.pose.stages import Stages
from edgepose.pose.track import Tracker, best_pairs
from edgepose.zoo import AssociativeDecoder

if TYPE_CHECKING:
    from edgepose.bundle import Bundle

_NO_BOXES = np.zeros((0, 4))
FRAME_S = 1 / 30  # from one frame to the next where nobody tells
_LEAST_SEEN = 0.25  # of the key points: who has fewer is nobody
_COVERED = 0.3  # IoU from which on a detection is that of a person who is followed already


@dataclass(frozen=True)
class PipelineSettings:
    """What a pipeline does; the defaults are RTMPose's where its paper has any.

    - ``detect_every``: frames from one run of the detector to the next; it runs earlier once nobody
      is left to follow.
    - ``detection_threshold``, ``detection_iou``: the least score of a box, and the overlap from
      which on two boxes are one.
    - ``keypoint_threshold``: the least score of a key point that counts. Who has fewer than a
      quarter of them is nobody; of nets that see faces and hands, body and feet alone decide.
    - ``pose_oks``: the similarity from which on two poses are one person's.
    - ``track`` gives people ids; ``smooth`` then steadies them over time.
    - ``exact_grouping``: people of bottom-up nets as the original code groups them, slowly.
    - ``flip``: look at the mirrored image too, at twice the cost.
    """

    detect_every: int = 1
    detection_threshold: float = 0.5
    detection_iou: float = 0.6
    keypoint_threshold: float = 0.3
    pose_oks: float = 0.5
    track: bool = True
    smooth: bool = True
    exact_grouping: bool = False
    flip: bool = False

    def __post_init__(self) -> None:
        if self.detect_every < 1:
            raise UsageError(
                f"the detector cannot run every {self.detect_every} frames",
                hint="Give 1 or more: 1 is every frame.",
            )


@dataclass(frozen=True, eq=False)
class Frame:
    """What was found in one frame, best person first; ``detected`` tells that the detector ran."""

    people: tuple[Person, ...]
    stages_ms: Mapping[str, float]
    detected: bool


@dataclass(frozen=True, eq=False)
class _Found:
    """People of one frame and the scores of the boxes that they were found in."""

    people: Sequence[Person]
    box_scores: NDArray[np.float64]


class Pipeline:
    """Follows the people of one film. Not for several threads at once.

    With a ``detector``, ``pose`` looks into its boxes, and between its runs into where people
    probably are by now. A top-down net without a detector follows a single person: it looks at the
    whole image, and from then on at where he was.
    """

    def __init__(
        self,
        pose: TopDown | BottomUp,
        detector: Detector | None = None,
        settings: PipelineSettings = PipelineSettings(),
    ) -> None:
        """Raises UsageError for a detector before a net that sees the whole image."""
        if detector and isinstance(pose, BottomUp):
            raise UsageError(
                f"{pose.spec.name!r} finds all people by itself",
                hint="Leave the detector out.",
            )
        self.pose, self.detector, self.settings = pose, detector, settings
        # Then nobody asks where people will be.
        self._finds_anew = detector is not None and settings.detect_every == 1
        self._sigmas = sigmas_for(pose.spec.keypoints)
        # Points of body and feet: of who turns away or is small, most of the others are not seen.
        self._counted = keypoint_set(pose.spec).details_from
        self._tracker = Tracker(
            self._sigmas, settings.keypoint_threshold, smooth=settings.smooth and settings.track
        )
        self._time_s = 0.0  # since the first frame
        self._given_s: float | None = None  # of the last frame, as it was told
        self._shape: tuple[int, int] | None = None
        self._since_detection = 0

    @classmethod
    def from_bundles(
        cls,
        pose: "Bundle",
        detector: "Bundle | None" = None,
        *,
        threads: int = 1,
        settings: PipelineSettings = PipelineSettings(),
    ) -> "Pipeline":
        """A pipeline of bundles on this host.

        Raises UsageError where a bundle is not what its place needs, ToolchainError where its
        runtime is missing.
        """
        net: TopDown | BottomUp
        # Not by the task: the user's own models need not tell it.
        if isinstance(pose.manifest.model.decoder, AssociativeDecoder):
            net = BottomUp.from_bundle(
                pose, threads, exact=settings.exact_grouping, flip=settings.flip
            )
        else:
            net = TopDown.from_bundle(pose, threads, flip=settings.flip)
        if detector is None:
            return cls(net, None, settings)
        finder = Detector.from_bundle(
            detector, threads, threshold=settings.detection_threshold, iou=settings.detection_iou
        )
        return cls(net, finder, settings)

    def __call__(self, frames: Iterable[NDArray[Any]]) -> Iterator[tuple[Person, ...]]:
        """The people of each frame."""
        for image in frames:
            yield self.process(image).people

    def process(self, image: NDArray[Any], time_s: float | None = None) -> Frame:
        """People in one frame, uint8 BGR [H, W, 3], also grey or BGRA.

        ``time_s`` is its time in the film; without one, frames are 1/30 s apart. Raises UsageError
        for what is not an image.
        """
        stages = Stages()
        pixels = to_bgr(image)
        self._advance(time_s)
        shape = (pixels.shape[0], pixels.shape[1])
        if shape != self._shape:
            self._tracker.forget()
            self._shape = shape
        found, detected = self._find(pixels, stages)
        with stages("track"):
            people = self._settled(found)
        return Frame(tuple(people), stages.ms, detected)

    def reset(self) -> None:
        """Forget everyone: the next frame begins another film."""
        self._tracker.reset()
        self._time_s, self._given_s, self._shape = 0.0, None, None
        self._since_detection = 0

    def _advance(self, given_s: float | None) -> None:
        """Where the film goes back, stands still or does not tell, one frame has passed."""
        step_s = FRAME_S
        if given_s is not None and self._given_s is not None and given_s > self._given_s:
            step_s = given_s - self._given_s
        self._given_s = given_s
        self._time_s += step_s

    def _find(self, image: NDArray[np.uint8], stages: Stages) -> tuple[_Found, bool]:
        if isinstance(self.pose, BottomUp):
            people = self.pose.estimate(image, stages)
            return _Found(people, np.ones(len(people))), False
        height, width = image.shape[:2]
        boxes, scores = _NO_BOXES, _NO_BOXES[:, 0]
        if not self._finds_anew:
            with stages("track"):
                boxes, scores = self._tracker.expected(self._time_s, (height, width))
        detected = False
        self._since_detection += 1
        if not self.detector:
            if not len(boxes):
                boxes, scores = np.array([[0.0, 0.0, width, height]]), np.ones(1)
        elif not len(boxes) or self._since_detection >= self.settings.detect_every:
            boxes, scores = self._detections(image, boxes, scores, stages)
            detected, self._since_detection = True, 0
        return _Found(self.pose.estimate(image, boxes, scores, stages), scores), detected

    def _detections(
        self,
        image: NDArray[np.uint8],
        expected: NDArray[np.float64],
        expected_scores: NDArray[np.float64],
        stages: Stages,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What the detector finds, and those whom it has missed for once."""
        assert self.detector is not None
        found = self.detector.detect(image, stages)
        sure = found.scores >= self.settings.detection_threshold
        boxes, scores = found.boxes[sure].astype(np.float64), found.scores[sure].astype(np.float64)
        if not len(expected):
            return boxes, scores
        # One to one: a box of somebody in front is not that of whom he hides.
        missed = np.ones(len(expected), bool)
        missed[[row for row, _ in best_pairs(box_iou(expected, boxes), _COVERED)]] = False
        return (
            np.concatenate([boxes, expected[missed]]),
            np.concatenate([scores, expected_scores[missed]]),
        )

    def _settled(self, found: _Found) -> list[Person]:
        """Who is there for sure, each once, and who that is."""
        settings = self.settings
        sight, alike = self._tracker.look(found.people, self._time_s)
        scores = np.array([person.score for person in found.people])
        there = self._distinct(sight.poses, scores, alike)
        people = [found.people[index] for index in there.tolist()]
        if not settings.track and (self._finds_anew or isinstance(self.pose, BottomUp)):
            return people  # nobody asks where they will be
        box_scores = found.box_scores[there]
        known = self._tracker.update(people, box_scores, self._time_s, sight.of(there))
        return known if settings.track else people

    def _distinct(
        self, poses: NDArray[np.float64], scores: NDArray[np.float64], alike: NDArray[np.float64]
    ) -> NDArray[np.intp]:
        """Who of ``poses`` [N, K, 3] is somebody, and nobody better, best of ``scores`` first.

        ``alike`` [N, N] is the OKS of any two.
        """
        least = max(1, round(_LEAST_SEEN * self._counted))
        seen = poses[:, : self._counted, 2] > self.settings.keypoint_threshold
        (there,) = (seen.sum(axis=1) >= least).nonzero()
        kept = distinct(alike[there[:, None], there], scores[there], self.settings.pose_oks)
        best: NDArray[np.intp] = there[kept]
        return best
