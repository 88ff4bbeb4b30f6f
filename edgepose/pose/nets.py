"""A net at work: a spec and a session of any engine, from an image to boxes or people.

Each net does it in three steps, for those who run several images at once: ``prepare`` makes the
input tensors, ``run`` has the engine compute, ``finish`` reads the outputs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgepose.engines.base import Session
from edgepose.errors import UsageError
from edgepose.pose.decode import check_outputs, decode_crops, ordered_outputs
from edgepose.pose.decode.associative import people_in, people_in_both
from edgepose.pose.decode.flip import merged_with_flipped
from edgepose.pose.decode.rtmdet import decode_rtmdet
from edgepose.pose.keypoint_sets import keypoint_set
from edgepose.pose.people import Person
from edgepose.pose.preprocess import CROPS, Placement, prepare, prepare_crops
from edgepose.pose.result import Boxes, Floats
from edgepose.pose.stages import Stages
from edgepose.zoo import (
    AssociativeDecoder,
    HeatmapDecoder,
    InputSpec,
    ModelSpec,
    RTMDetDecoder,
    SimCCDecoder,
)

if TYPE_CHECKING:
    from edgepose.bundle import Bundle

_PERSON = 0  # the class of persons in COCO's order, and the only one of a detector of persons
_COUNTED = 0.2  # key points above it make the score of a person, in mmpose's COCO results
_SURE = 0.1  # key points above it make the box of a person who was found without one
# Of any number: from here on, time is won no more by sharing weights, and caches overflow.
_AT_ONCE = 4
_NO_BOXES = np.zeros((0, 4))
_Result = TypeVar("_Result")


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a net is to see of one image: ``tensors`` [N, 3, h, w] and where they come from.

    ``boxes`` [M, 4] and ``box_scores`` [M] are those of the persons, none where the net sees the
    whole image. With a flip test the second half of the tensors is the first one mirrored.
    """

    tensors: NDArray[np.float32]
    placement: Placement
    boxes: NDArray[np.float64]
    box_scores: NDArray[np.float64]


class _Net:
    """``input_name`` and ``batch`` are the session's: it takes ``batch`` tensors at once; None is
    any number.
    """

    decoders: tuple[type, ...] = ()
    kind = ""

    def __init__(
        self,
        spec: ModelSpec,
        session: Session,
        *,
        input_name: str = "input",
        batch: int | None = 1,
    ) -> None:
        """Raises UsageError where the model is of another kind."""
        if spec.input is None or not isinstance(spec.decoder, self.decoders):
            raise UsageError(
                f"model {spec.name!r} ({spec.task}) is not {self.kind}",
                hint="`edgepose models` tells each model's task.",
            )
        self.spec, self._session = spec, session
        self._input_name, self._batch = input_name, batch

    @classmethod
    def from_bundle(cls, bundle: "Bundle", threads: int = 1, **options: Any) -> Self:
        """The bundle's artifact on this host; ``options`` are those of the constructor."""
        tensor = bundle.manifest.inputs[0]
        session = bundle.session(threads)
        return cls(
            bundle.manifest.model,
            session,
            input_name=tensor.name,
            batch=None if bundle.manifest.artifact.any_batch else tensor.shape[0],
            **options,
        )

    def run(self, tensors: NDArray[np.float32]) -> list[Floats]:
        """Outputs [N, …] of all ``tensors`` [N, 3, h, w], in the order of ``spec.outputs``."""
        found = []
        step = self._batch or _AT_ONCE
        for start in range(0, len(tensors), step):
            part = tensors[start : start + step]
            missing = step - len(part) if self._batch else 0
            if missing:
                part = np.concatenate([part, np.zeros((missing, *part.shape[1:]), np.float32)])
            found.append(self._session.run({self._input_name: part}))
        ordered = [ordered_outputs(self.spec, outputs) for outputs in found]
        if len(ordered) == 1:
            return [each[: len(tensors)] for each in ordered[0]]
        return [np.concatenate(each)[: len(tensors)] for each in zip(*ordered, strict=True)]

    def _in_stages(
        self,
        prepare: Callable[[], Prepared],
        stage: str,
        finish: Callable[[Prepared, Sequence[Floats]], _Result],
        clock: Stages | None,
    ) -> _Result:
        clock = clock or Stages()
        with clock("preprocess"):
            prepared = prepare()
        with clock(stage):
            outputs = self.run(prepared.tensors)
        with clock("decode"):
            return finish(prepared, outputs)

    @property
    def _input(self) -> InputSpec:
        assert self.spec.input is not None  # or the constructor had refused
        return self.spec.input

    def _whole(self, image: NDArray[Any]) -> Prepared:
        tensor, placement = prepare(image, self._input)
        return Prepared(tensor, placement, _NO_BOXES, _NO_BOXES[:, 0])


class Detector(_Net):
    """Finds persons. ``threshold`` and ``iou`` are the decoder's where they are not given."""

    decoders, kind = (RTMDetDecoder,), "a detector of persons"

    def __init__(
        self,
        spec: ModelSpec,
        session: Session,
        *,
        threshold: float | None = None,
        iou: float | None = None,
        input_name: str = "input",
        batch: int | None = 1,
    ) -> None:
        super().__init__(spec, session, input_name=input_name, batch=batch)
        assert isinstance(spec.decoder, RTMDetDecoder)
        self._decoder = msgspec.structs.replace(
            spec.decoder,
            score_threshold=spec.decoder.score_threshold if threshold is None else threshold,
            nms_iou=spec.decoder.nms_iou if iou is None else iou,
        )

    def detect(self, image: NDArray[Any], clock: Stages | None = None) -> Boxes:
        """Boxes of persons in pixels of the image, best first."""
        return self._in_stages(lambda: self.prepare(image), "detector", self.finish, clock)

    def prepare(self, image: NDArray[Any]) -> Prepared:
        return self._whole(image)

    def finish(self, prepared: Prepared, outputs: Sequence[Floats]) -> Boxes:
        check_outputs(self.spec, outputs, 1)
        everything = (0, 0, self._input.width, self._input.height)
        left, top, right, bottom = prepared.placement.filled or everything
        size = (bottom - top, right - left)
        found = decode_rtmdet(outputs, self._decoder, size, (top, left), only=_PERSON)
        corners = prepared.placement.to_image(found.boxes.reshape(-1, 2))
        return Boxes(corners.reshape(-1, 4).astype(np.float32), found.scores, found.classes)


class TopDown(_Net):
    """Estimates the poses of persons whose boxes are known; ``flip`` adds a mirrored look."""

    decoders, kind = (SimCCDecoder, HeatmapDecoder), "a net that sees one person at a time"

    def __init__(
        self,
        spec: ModelSpec,
        session: Session,
        *,
        flip: bool = False,
        input_name: str = "input",
        batch: int | None = 1,
    ) -> None:
        super().__init__(spec, session, input_name=input_name, batch=batch)
        if self._input.fit not in CROPS:
            raise UsageError(
                f"model {spec.name!r} does not see a crop around a person, "
                f"but the whole image (fit {self._input.fit!r})",
                hint='Say `fit = "crop"` in [input] of the model.',
            )
        self._flip = flip
        self._mirrored = keypoint_set(spec).mirrored

    def estimate(
        self,
        image: NDArray[Any],
        boxes: ArrayLike,
        box_scores: ArrayLike | None = None,
        clock: Stages | None = None,
    ) -> list[Person]:
        """The persons in ``boxes`` [N, 4], in their order; see ``prepare`` and ``finish``."""
        return self._in_stages(
            lambda: self.prepare(image, boxes, box_scores), "network", self.finish, clock
        )

    def prepare(
        self, image: NDArray[Any], boxes: ArrayLike, box_scores: ArrayLike | None = None
    ) -> Prepared:
        """Crops around ``boxes`` [N, 4]; ``box_scores`` [N] are 1 where they are not given."""
        corners = np.asarray(boxes, np.float64).reshape(-1, 4)
        scores = np.ones(len(corners)) if box_scores is None else np.asarray(box_scores, np.float64)
        tensors, placement = prepare_crops(image, self._input, corners)
        if self._flip:
            tensors = np.concatenate([tensors, tensors[..., ::-1]])
        return Prepared(tensors, placement, corners, scores)

    def finish(self, prepared: Prepared, outputs: Sequence[Floats]) -> list[Person]:
        """One person per box. His score, as mmpose's COCO results have it: that of his box times
        the mean of his key points' above 0.2.
        """
        count = len(prepared.boxes)
        if not count:
            return []
        if self._flip:
            flipped = [each[count:] for each in outputs]
            outputs = [each[:count] for each in outputs]
            outputs = merged_with_flipped(self.spec.decoder, outputs, flipped, self._mirrored)
        found, scores = decode_crops(self.spec, outputs)
        points = prepared.placement.to_image(found)
        means = [_mean([each for each in own if each > _COUNTED]) for own in scores.tolist()]
        in_boxes = zip(prepared.box_scores.tolist(), means, strict=True)
        whole = [box_score * mean for box_score, mean in in_boxes]
        return [
            Person(*person) for person in zip(points, scores, prepared.boxes, whole, strict=True)
        ]


class BottomUp(_Net):
    """Finds all people at once. ``exact`` groups as the original code does, slowly; ``flip`` adds
    a mirrored look.
    """

    decoders, kind = (AssociativeDecoder,), "a bottom-up net"

    def __init__(
        self,
        spec: ModelSpec,
        session: Session,
        *,
        exact: bool = False,
        flip: bool = False,
        input_name: str = "input",
        batch: int | None = 1,
    ) -> None:
        super().__init__(spec, session, input_name=input_name, batch=batch)
        assert isinstance(spec.decoder, AssociativeDecoder)  # of its `decoders`
        self._decoder = spec.decoder
        self._exact, self._flip = exact, flip
        self._mirrored = keypoint_set(spec).mirrored

    def estimate(self, image: NDArray[Any], clock: Stages | None = None) -> list[Person]:
        """All persons of the image; see ``finish``."""
        return self._in_stages(lambda: self.prepare(image), "network", self.finish, clock)

    def prepare(self, image: NDArray[Any]) -> Prepared:
        prepared = self._whole(image)
        if not self._flip:
            return prepared
        both = np.concatenate([prepared.tensors, prepared.tensors[..., ::-1]])
        return replace(prepared, tensors=both)

    def finish(self, prepared: Prepared, outputs: Sequence[Floats]) -> list[Person]:
        """The persons, whose score is the mean value of all joints that grouping gave them."""
        first = [each[:1] for each in outputs]
        check_outputs(self.spec, first, 1)
        if self._flip:
            second = [each[1:] for each in outputs]
            found = people_in_both(first, second, self._mirrored, self._decoder, exact=self._exact)
        else:
            found = people_in(first, self.spec.keypoints, self._decoder, exact=self._exact)
        height, width = (2 * side for side in outputs[1].shape[2:])
        scale = np.array([self._input.width / width, self._input.height / height])
        points = prepared.placement.to_image(found.points * scale)
        return [
            Person(place, values, _bounds(place, values), score)
            for place, values, score in zip(
                points, found.values, found.scores.tolist(), strict=True
            )
        ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(len(values), 1)


def _bounds(points: NDArray[np.float64], values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The box [4] of the points [K, 2] that are there for sure, or else of all that are there."""
    seen = points[values > min(_SURE, float(values.max()) / 2)]
    return np.concatenate([seen.min(axis=0), seen.max(axis=0)])
