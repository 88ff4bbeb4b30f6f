"""AP and AR of key points by OKS, computed by faster-coco-eval."""

import importlib.util
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edgepose.errors import ToolchainError
from edgepose.evaluate.datasets import DataSet, Part
from edgepose.evaluate.results import Result
from edgepose.evaluate.truth import TruePerson, Truth

METRICS = ("AP", "AP50", "AP75", "AP M", "AP L", "AR", "AR50", "AR75", "AR M", "AR L")
_EASY, _HARD = 0.2, 0.8  # of CrowdPose's own evaluation; its paper says 0.1 and 0.8

Scores = dict[str, dict[str, float | None]]
Results = Mapping[int, Sequence[Result]]


def require_evaluator() -> None:
    """Raises ToolchainError where faster-coco-eval is not installed."""
    if importlib.util.find_spec("faster_coco_eval") is None:
        raise ToolchainError(
            "AP is computed by faster-coco-eval, which is not installed",
            hint="pip install 'edgepose[eval]'",
        )


def score_oks(truth: Truth, found: Results) -> Scores:
    """By group ("all", parts of the body, crowdedness, …) the ``METRICS``, 0..1.

    None where a group has nobody of the kind. ``found`` are the results of every image, of which
    the 20 best count.
    """
    dataset = truth.dataset
    whole = Part("all", "", 0, dataset.keypoints)
    scores = {"all": _evaluate(truth, found, whole)}
    for part in dataset.parts:
        scores[part.name] = _evaluate(truth, found, part)
    for name, images in _subsets(truth):
        scores[name] = _evaluate(truth, found, whole, images)
    return scores


def _subsets(truth: Truth) -> Iterator[tuple[str, list[int]]]:
    """Groups of images that the data set scores by themselves."""
    if truth.dataset.crowd_index:
        crowd = {image.image_id: image.crowd_index or 0.0 for image in truth.images}
        yield "easy", [key for key, index in crowd.items() if index < _EASY]
        yield "medium", [key for key, index in crowd.items() if _EASY <= index < _HARD]
        yield "hard", [key for key, index in crowd.items() if index >= _HARD]
    if truth.dataset.single_person:
        people = truth.by_image().items()
        yield "single person", [key for key, all_ in people if len(all_) == 1 and all_[0].is_target]


def _evaluate(
    truth: Truth, found: Results, part: Part, images: Collection[int] | None = None
) -> dict[str, float | None]:
    """The metrics of the key points of ``part``, in all images or in these."""
    kept = {image.image_id for image in truth.images} if images is None else set(images)
    people = [person for person in truth.people if person.image_id in kept]
    if not people:
        return dict.fromkeys(METRICS)
    require_evaluator()
    from faster_coco_eval import COCO, COCOeval_faster

    quiet = {"print_function": logging.getLogger(__name__).debug}
    true = COCO(ground_truth(truth.dataset, sorted(kept), people, part), **quiet)
    results = true.loadRes(coco_results({key: found.get(key, ()) for key in sorted(kept)}, part))
    sigmas = list(truth.dataset.sigmas[part.first : part.last])
    evaluation = COCOeval_faster(true, results, "keypoints", kpt_oks_sigmas=sigmas, **quiet)
    evaluation.run()
    # The evaluator says -1 where there is nobody to find.
    values = (float(value) for value in evaluation.stats)
    return {
        name: value if value >= 0 else None for name, value in zip(METRICS, values, strict=True)
    }


def ground_truth(
    dataset: DataSet, images: Sequence[int], people: Sequence[TruePerson], part: Part
) -> dict[str, Any]:
    """The content of an annotation file in COCO's format. Numbers of annotations begin with 1."""
    whole = part.last - part.first == dataset.keypoints
    return {
        "images": [{"id": image_id} for image_id in images],
        "categories": [{"id": key} for key in sorted({each.category_id for each in people})],
        "annotations": [
            _annotation(number, person, part, whole) for number, person in enumerate(people, 1)
        ],
    }


def _annotation(number: int, person: TruePerson, part: Part, whole: bool) -> dict[str, Any]:
    points = person.points[part.first : part.last]
    x, y, right, bottom = person.box
    return {
        "id": number,
        "image_id": person.image_id,
        "category_id": person.category_id,
        "keypoints": points.ravel().tolist(),
        "num_keypoints": person.counted if whole else int(np.count_nonzero(points[:, 2] > 0)),
        "bbox": [x, y, right - x, bottom - y],
        "area": person.area,
        "iscrowd": int(person.crowd),
    }


def coco_results(found: Results, part: Part | None = None) -> list[dict[str, Any]]:
    """A result file in COCO's format, of the key points of ``part`` or of all."""
    cut = slice(3 * part.first, 3 * part.last) if part else slice(None)
    return [
        {
            "image_id": image_id,
            "category_id": result.category_id,
            "keypoints": result.points[cut],
            "score": result.score,
        }
        for image_id, results in found.items()
        for result in results
    ]
