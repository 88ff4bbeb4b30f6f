import numpy as np
import pytest

from edgepose.evaluate.datasets import DATASETS
from edgepose.evaluate.pckh import score_pckh
from edgepose.evaluate.results import Result
from edgepose.evaluate.truth import Annotated, TruePerson, Truth

HEAD_PX = 10.0


def _truth(visible: list[np.ndarray]) -> Truth:
    people = tuple(
        TruePerson(
            1,
            1,
            np.column_stack([np.arange(16.0) * 20, np.zeros(16), each]),
            (0, 0, 300, 10),
            1.0,
            int(each.sum()),
            head_px=HEAD_PX,
        )
        for each in visible
    )
    return Truth(DATASETS["mpii"], "", (Annotated(1, "a.jpg"),), people)


def _result(person: TruePerson, away_px: dict[int, float]) -> Result:
    points = person.points.copy()
    for joint, distance in away_px.items():
        points[joint, 1] += distance
    return Result(1, 1.0, points.ravel().tolist())


def test_a_point_half_a_head_away_is_right_and_one_further_is_not() -> None:
    truth = _truth([np.ones(16)])
    found = {1: [_result(truth.people[0], {9: 5.0, 12: 5.1})]}
    scores = score_pckh(truth, found)["PCKh@0.5"]
    assert scores["head"] == 1
    assert scores["shoulder"] == 0.5  # of left and right one
    assert scores["mean"] == pytest.approx(13 / 14)


def test_a_tenth_of_a_head_is_asked_for_too() -> None:
    truth = _truth([np.ones(16)])
    found = {1: [_result(truth.people[0], dict.fromkeys(range(16), 1.5))]}
    scores = score_pckh(truth, found)
    assert scores["PCKh@0.5"]["mean"] == 1
    assert scores["PCKh@0.1"]["mean"] == 0


def test_pelvis_and_thorax_do_not_count_in_the_mean() -> None:
    truth = _truth([np.ones(16)])
    found = {1: [_result(truth.people[0], {6: 100.0, 7: 100.0})]}
    assert score_pckh(truth, found)["PCKh@0.5"]["mean"] == 1


def test_joints_that_are_not_annotated_do_not_count_and_the_mean_is_over_points() -> None:
    half = np.ones(16)
    half[[0, 5]] = 0  # no ankles
    truth = _truth([np.ones(16), half])
    found = {1: [_result(each, {0: 99.0, 5: 99.0}) for each in truth.people]}
    scores = score_pckh(truth, found)["PCKh@0.5"]
    assert scores["ankle"] == 0
    assert scores["mean"] == pytest.approx(24 / 26)


def test_whoever_was_not_found_is_wrong_everywhere() -> None:
    truth = _truth([np.ones(16), np.ones(16)])
    found = {1: [_result(truth.people[0], {})]}
    assert score_pckh(truth, found)["PCKh@0.5"]["mean"] == 0.5


def test_what_nobody_annotated_has_no_figure() -> None:
    visible = np.ones(16)
    visible[9] = 0
    truth = _truth([visible])
    assert score_pckh(truth, {})["PCKh@0.5"]["head"] is None


def test_where_no_joint_at_all_is_annotated_there_are_no_figures() -> None:
    truth = _truth([np.zeros(16)])
    for scores in score_pckh(truth, {}).values():
        assert set(scores.values()) == {None}
