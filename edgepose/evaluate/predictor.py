"""From annotated images to results: the nets at work, several images at a time."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgepose.engines.base import Session, Tensors
from edgepose.evaluate.coco_file import PERSON
from edgepose.evaluate.datasets import DataSet
from edgepose.evaluate.found_boxes import GivenBoxes
from edgepose.evaluate.results import Result, results_of, without_doubles
from edgepose.pose.decode import ordered_outputs
from edgepose.pose.nets import BottomUp, Detector, Prepared, TopDown
from edgepose.pose.people import Person
from edgepose.pose.result import Floats


@dataclass(frozen=True, eq=False)
class Picture:
    """An image, uint8 BGR [H, W, 3], and the boxes to look into; None where nobody gives any."""

    pixels: NDArray[np.uint8]
    given: GivenBoxes | None = None


class Predictor(Protocol):
    """``predict`` yields the results of each picture, in their order.

    It may take several pictures before it yields the results of the first.
    """

    def predict(self, pictures: Iterable[Picture]) -> Iterator[list[Result]]: ...


@runtime_checkable
class ManySession(Protocol):
    """A session that is better handed ``at_once`` inputs together, as on a device."""

    at_once: int

    def run_many(self, inputs: Sequence[Tensors]) -> list[dict[str, NDArray[np.float32]]]: ...


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A picture whose boxes and tensors are there; ``prepared`` is None with nothing to look at."""

    boxes: GivenBoxes | None
    prepared: Prepared | None

    @property
    def count(self) -> int:
        return len(self.prepared.tensors) if self.prepared else 0


class NetPredictor:
    """``net`` on ``session``, behind ``detector`` where pictures come without boxes."""

    def __init__(
        self,
        net: TopDown | BottomUp,
        session: Session,
        input_name: str,
        dataset: DataSet,
        detector: Detector | None = None,
    ) -> None:
        self._net, self._session, self._input = net, session, input_name
        self._dataset, self._detector = dataset, detector
        self._at_once = session.at_once if isinstance(session, ManySession) else 1

    def predict(self, pictures: Iterable[Picture]) -> Iterator[list[Result]]:
        waiting: list[_Waiting] = []
        for picture in pictures:
            boxes = self._boxes(picture)
            waiting.append(_Waiting(boxes, self._prepare(picture, boxes)))
            if sum(each.count for each in waiting) >= self._at_once:
                yield from self._finish(waiting)
                waiting = []
        yield from self._finish(waiting)

    def _finish(self, waiting: Sequence[_Waiting]) -> Iterator[list[Result]]:
        outputs = self._run([each.prepared for each in waiting if each.prepared])
        first = 0
        for each in waiting:
            last = first + each.count
            own = [output[first:last] for output in outputs]
            people = self._net.finish(each.prepared, own) if each.prepared else []
            yield self._results(people, each.boxes)
            first = last

    def _boxes(self, picture: Picture) -> GivenBoxes | None:
        if picture.given or not self._detector:
            return picture.given
        found = self._detector.detect(picture.pixels)
        boxes, scores = found.boxes.astype(np.float64), found.scores.astype(np.float64)
        return GivenBoxes(boxes, scores, (PERSON,) * len(boxes))

    def _prepare(self, picture: Picture, boxes: GivenBoxes | None) -> Prepared | None:
        """None where there is nothing to look into."""
        if isinstance(self._net, BottomUp):
            return self._net.prepare(picture.pixels)
        if boxes is None or not len(boxes.boxes):
            return None
        return self._net.prepare(picture.pixels, boxes.boxes, boxes.scores)

    def _run(self, prepared: Sequence[Prepared]) -> list[Floats]:
        """Outputs [N, …] for the tensors of all pictures, one after another."""
        if not prepared:
            return []
        tensors = np.concatenate([each.tensors for each in prepared])
        if not isinstance(self._session, ManySession):
            return self._net.run(tensors)
        found = self._session.run_many([{self._input: tensor[None]} for tensor in tensors])
        ordered = [ordered_outputs(self._net.spec, outputs) for outputs in found]
        return [np.concatenate(each) for each in zip(*ordered, strict=True)]

    def _results(self, people: list[Person], boxes: GivenBoxes | None) -> list[Result]:
        if boxes is None:
            return results_of(people, [PERSON] * len(people))
        spec = self._net.spec.input
        if self._dataset.metric == "pckh" or spec is None:
            return results_of(people, boxes.categories)
        return without_doubles(people, boxes.categories, self._dataset, spec)
