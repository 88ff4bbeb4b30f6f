import contextlib
import io
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from edgepose.evaluate.datasets import DATASETS, DataSet, Part
from edgepose.evaluate.oks_score import METRICS, coco_results, ground_truth, score_oks
from edgepose.evaluate.results import Result, results_of
from edgepose.evaluate.truth import Annotated, TruePerson, Truth
from edgepose.pose.people import Person
from tests.evaluate.synthetic import people_and_results

Scores = dict[str, float | None]


def pycocotools_scores(
    truth: Truth, found: dict[int, list[Result]], part: Part, images: list[int] | None = None
) -> Scores:
    """The same metrics by the reference implementation."""
    listed = [image.image_id for image in truth.images] if images is None else images
    people = [person for person in truth.people if person.image_id in listed]
    with contextlib.redirect_stdout(io.StringIO()):
        true = COCO()
        true.dataset = ground_truth(truth.dataset, listed, people, part)
        true.createIndex()
        results = coco_results({key: found.get(key, []) for key in listed}, part)
        evaluation = COCOeval(true, true.loadRes(results), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(truth.dataset.sigmas[part.first : part.last])
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {
        name: float(value) if value >= 0 else None
        for name, value in zip(METRICS, evaluation.stats, strict=True)
    }


def agree(ours: Scores, theirs: Scores) -> None:
    assert ours == {
        name: None if value is None else pytest.approx(value, abs=1e-6)
        for name, value in theirs.items()
    }


def whole(dataset: DataSet) -> Part:
    return Part("all", "", 0, dataset.keypoints)


@pytest.mark.parametrize("name", ["coco", "crowdpose", "coco-wholebody", "ap10k"])
def test_scores_are_those_of_pycocotools(name: str) -> None:
    truth, found = people_and_results(DATASETS[name], 60, 200, extra=50)
    scores = score_oks(truth, found)
    agree(scores["all"], pycocotools_scores(truth, found, whole(truth.dataset)))
    assert 0.05 < (scores["all"]["AP"] or 0) < 0.95  # or the comparison would show nothing


def test_parts_of_the_body_are_scored_each_with_its_own_points() -> None:
    dataset = DATASETS["coco-wholebody"]
    truth, found = people_and_results(dataset, 40, 120)
    scores = score_oks(truth, found)
    assert list(scores) == ["all", "body", "foot", "face", "left hand", "right hand"]
    for part in dataset.parts:
        agree(scores[part.name], pycocotools_scores(truth, found, part))
    assert len({value["AP"] for value in scores.values()}) == len(scores)


def test_a_part_that_was_not_annotated_is_no_target() -> None:
    dataset = DATASETS["coco-wholebody"]
    truth, found = people_and_results(dataset, 5, 10)
    for person in truth.people:
        person.points[91:112] = 0
    scores = score_oks(truth, found)
    assert scores["left hand"] == dict.fromkeys(METRICS)
    assert scores["right hand"]["AP"] is not None


def test_crowdpose_is_split_by_the_crowd_index() -> None:
    truth, found = people_and_results(DATASETS["crowdpose"], 60, 150)
    crowd = {image.image_id: image.crowd_index or 0 for image in truth.images}
    scores = score_oks(truth, found)
    for name, low, high in (("easy", 0, 0.2), ("medium", 0.2, 0.8), ("hard", 0.8, 2)):
        images = [key for key, index in crowd.items() if low <= index < high]
        assert images
        agree(scores[name], pycocotools_scores(truth, found, whole(truth.dataset), images))


def test_single_person_images_are_those_where_one_is_annotated_and_a_target() -> None:
    truth, found = people_and_results(DATASETS["coco"], 40, 60)
    people = truth.by_image()
    alone = [key for key, all_ in people.items() if len(all_) == 1 and all_[0].is_target]
    assert 0 < len(alone) < 40
    agree(
        score_oks(truth, found)["single person"],
        pycocotools_scores(truth, found, whole(truth.dataset), alone),
    )


def _perfect(
    people: int, category_of: Any = lambda number: 1
) -> tuple[Truth, dict[int, list[Result]]]:
    dataset = DATASETS["ap10k"]
    points = np.column_stack([np.arange(17) * 10.0, np.arange(17) * 7.0, np.full(17, 2)])
    images = tuple(Annotated(number, "") for number in range(1, people + 1))
    true = tuple(
        TruePerson(each.image_id, category_of(each.image_id), points, (0, 0, 160, 112), 1e4, 17)
        for each in images
    )
    found = {
        each.image_id: [Result(each.category_id, 0.9, points.ravel().tolist())] for each in true
    }
    return Truth(dataset, "", images, true), found


def test_perfect_results_score_one_and_none_at_all_zero() -> None:
    truth, found = _perfect(4)
    assert score_oks(truth, found)["all"]["AP"] == pytest.approx(1)
    assert score_oks(truth, {})["all"]["AP"] == 0


def test_species_count_alike_however_many_animals_they_have() -> None:
    truth, found = _perfect(10, lambda number: 1 if number < 10 else 2)
    del found[10]  # the only animal of its species
    assert score_oks(truth, found)["all"]["AP"] == pytest.approx(0.5)


def test_results_that_are_not_numbers_find_nobody() -> None:
    truth, _ = _perfect(1)
    nan = np.full((17, 3), np.nan)
    [lost] = results_of([Person(nan[:, :2], nan[:, 2], np.zeros(4), float("nan"))], [1])
    assert (lost.score, lost.points) == (0.0, [0.0] * 51)
    assert (score_oks(truth, {1: [lost]})["all"]["AP"] or 0) < 0.1
