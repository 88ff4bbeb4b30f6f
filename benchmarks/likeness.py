"""How far the fast grouping is off the exact one, on made-up images."""

from dataclasses import dataclass

import numpy as np

from benchmarks.crowd import JOINTS, crowd, truth_of
from edgepose.evaluate.oks_score import score_oks
from edgepose.evaluate.results import Result
from edgepose.pose.decode.grouping import People, group
from edgepose.pose.decode.grouping_fast import group_fast

_MOST_PX, _MOST_AP = 0.5, 0.002


@dataclass(frozen=True)
class Likeness:
    """How far the fast way is off the exact one; AP 0..1 of both on the same made-up images.

    ``same_number`` counts the images in which both find as many people; ``mean_px`` is of these.
    """

    images: int
    people: int
    mean_px: float
    same_number: int
    ap_exact: float
    ap_fast: float

    @property
    def holds(self) -> bool:
        return self.mean_px <= _MOST_PX and abs(self.ap_exact - self.ap_fast) <= _MOST_AP

    def __str__(self) -> str:
        return (
            f"{self.people} people in {self.images} made-up images: joints {self.mean_px:.3f} px "
            f"apart in the mean (at most {_MOST_PX:g}), the same number of people in "
            f"{self.same_number} of them, AP {self.ap_exact:.4f} and {self.ap_fast:.4f} (at most "
            f"{_MOST_AP:g} apart): {'holds' if self.holds else 'BROKEN'}"
        )


def likeness(images: int) -> Likeness:
    """Of 1 to 12 people in each of so many images."""
    crowds = [crowd(1 + seed % 12, seed) for seed in range(images)]
    exact = [group(*each.enlarged()) for each in crowds]
    fast = [group_fast(each.out0, each.out1, JOINTS) for each in crowds]
    pairs = list(zip(exact, fast, strict=True))
    alike = [(a, b) for a, b in pairs if len(a.scores) == len(b.scores)]
    apart = [np.linalg.norm(a.points - b.points, axis=-1).ravel() for a, b in alike]
    truth = truth_of(crowds)
    ap_exact, ap_fast = (
        score_oks(truth, {image: _results(each) for image, each in enumerate(people)})["all"]["AP"]
        for people in (exact, fast)
    )
    return Likeness(
        images,
        sum(len(each.joints) for each in crowds),
        float(np.concatenate(apart).mean()),
        len(alike),
        ap_exact or 0.0,
        ap_fast or 0.0,
    )


def _results(people: People) -> list[Result]:
    return [
        Result(1, float(score), np.column_stack([points, values]).ravel().tolist())
        for points, values, score in zip(people.points, people.values, people.scores, strict=True)
    ]
