"""Following people: ids that stay, points that are steady and do not lag behind."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from edgepose.pose.oks import oks, sigmas_for
from edgepose.pose.people import Person
from edgepose.pose.track import (
    MISSING_FRAMES,
    SAME_OKS,
    Tracker,
    best_pairs,
    pose_boxes,
    poses_of,
)

FPS = 30
RANDOM = np.random.default_rng(1)
POSE = RANDOM.uniform(0, 1, (17, 2)) * [120, 300]  # of somebody 300 pixels tall
SHAPE = (480, 640)


def person(x: float, y: float = 100, scores: Sequence[float] = (0.9,) * 17) -> Person:
    points = POSE + np.array([x, y])
    box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    return Person(points, np.array(scores, np.float32), box, 0.9)


def tracker(smooth: bool = False) -> Tracker:
    return Tracker(sigmas_for(17), 0.3, smooth=smooth)


def ids_over(frames: Sequence[Sequence[Person]], fps: float = FPS) -> list[list[int | None]]:
    follower = tracker()
    return [
        [each.id for each in follower.update(people, [1.0] * len(people), number / fps)]
        for number, people in enumerate(frames)
    ]


def test_people_keep_their_ids_while_they_move_whatever_their_order() -> None:
    frames = []
    for number in range(40):
        people = [person(20 + 6 * number), person(200 + 2 * number), person(450 - 4 * number, 180)]
        frames.append(people if number % 2 else people[::-1])
    found = ids_over(frames)
    assert found[0] == [1, 2, 3]
    assert all(ids == ([3, 2, 1] if number % 2 else [1, 2, 3]) for number, ids in enumerate(found))


def test_people_who_cross_keep_their_ids() -> None:
    left = [person(20 + 8 * number, 60) for number in range(40)]
    right = [person(340 - 8 * number, 120) for number in range(40)]
    found = ids_over([[one, two] for one, two in zip(left, right, strict=True)])
    assert found == [[1, 2]] * 40


def test_a_new_person_gets_a_new_id_and_an_old_one_keeps_hers() -> None:
    frames = [[person(50)]] * 5 + [[person(400), person(50)]] * 5
    assert ids_over(frames) == [[1]] * 5 + [[2, 1]] * 5


@pytest.mark.parametrize(("missing", "expected"), [(MISSING_FRAMES, 1), (MISSING_FRAMES + 1, 2)])
def test_who_is_not_seen_for_ten_frames_is_forgotten(missing: int, expected: int) -> None:
    frames: list[list[Person]] = [[person(50)], *([[]] * missing), [person(52)]]
    assert ids_over(frames)[-1] == [expected]


def test_a_fast_person_whose_joints_are_too_far_away_is_known_by_the_box() -> None:
    one, two = person(50), person(50 + 45)  # at first sight nobody knows how fast he is
    area = float((pose_boxes(poses_of([one], 17), 0.3)[0, 2:] - one.box[:2]).prod())
    assert oks(one.points, two.points, sigmas_for(17), area) < SAME_OKS
    assert ids_over([[one], [two]]) == [[1], [1]]


def test_a_point_that_is_no_number_does_not_make_another_person() -> None:
    broken = person(103)
    broken.points[4], broken.scores[4] = np.nan, np.nan
    frames = [[person(100)], [broken], [person(106)], [person(109)]]
    assert ids_over(frames) == [[1], [1], [1], [1]]


def test_a_jump_across_the_picture_is_another_person() -> None:
    assert ids_over([[person(0)], [person(400)]]) == [[1], [2]]


def test_frames_need_not_be_evenly_spaced() -> None:
    """A person at 400 pixels per second, seen after 1, 5, 2 … thirtieths of a second."""
    follower, time_s = tracker(), 0.0
    for gap in [1, 1, 1, 1, 5, 2, 1, 7, 1, 3]:
        time_s += gap / FPS
        (found,) = follower.update([person(400 * time_s)], [1.0], time_s)
        assert found.id == 1


def test_boxes_are_expected_where_people_will_be() -> None:
    follower = tracker()
    for number in range(10):
        follower.update([person(10 + 10 * number)], [0.7], number / FPS)
    boxes, scores = follower.expected(10 / FPS, SHAPE)
    there = person(10 + 10 * 10)
    wanted = pose_boxes(poses_of([there], 17), 0.3)
    np.testing.assert_allclose(boxes, np.clip(wanted, 0, [640, 480, 640, 480]), atol=0.5)
    assert scores.tolist() == [0.7]


def test_nobody_is_expected_out_of_the_picture_or_after_he_was_lost() -> None:
    follower = tracker()
    follower.update([person(-900), person(50)], [1.0, 1.0], 0.0)
    assert len(follower.expected(1 / FPS, SHAPE)[0]) == 1
    follower.update([], [], 1 / FPS)
    assert len(follower.expected(2 / FPS, SHAPE)[0]) == 0


def test_a_reset_begins_with_the_first_id_and_forgetting_does_not() -> None:
    follower = tracker()
    follower.update([person(50)], [1.0], 0.0)
    follower.forget()
    assert follower.update([person(50)], [1.0], 0.1)[0].id == 2
    follower.reset()
    assert follower.update([person(50)], [1.0], 0.2)[0].id == 1


def smoothed(speed: float, noise: float, fps: float = FPS) -> tuple[NDArray, NDArray, NDArray]:
    """Steadied, noisy and true points [N, 17, 2] of a person at ``speed`` pixels per second."""
    random, follower = np.random.default_rng(0), tracker(smooth=True)
    found, noisy, true = [], [], []
    for number in range(120):
        where = person(50 + speed * number / fps)
        points = where.points + random.normal(0, noise, (17, 2))
        seen = Person(points, where.scores, where.box, 0.9)
        found.append(follower.update([seen], [1.0], number / fps)[0].points)
        noisy.append(points)
        true.append(where.points)
    return np.array(found)[30:], np.array(noisy)[30:], np.array(true)[30:]


def test_a_resting_person_is_steadied() -> None:
    found, noisy, true = smoothed(0, 1)
    moves, before = (np.diff(each - true, axis=0).std() for each in (found, noisy))
    assert moves < 0.45 * before
    assert np.abs(found - true).mean() < 0.7 * np.abs(noisy - true).mean()


@pytest.mark.parametrize("speed", [100, 300, 900])
@pytest.mark.parametrize("fps", [10, 30, 60])
def test_smoothing_lags_less_than_a_pixel_behind_a_moving_person(speed: float, fps: float) -> None:
    """0.3 % of the person's size, however fast; a mean of three frames lags 30 pixels at 900."""
    found, _, true = smoothed(speed, 0, fps)
    lag = (true - found)[:, :, 0]
    assert 0 <= lag.max() < 0.8


def test_a_point_that_comes_back_is_where_it_is_seen_at_once() -> None:
    follower = tracker(smooth=True)
    hidden = [0.9] * 9 + [0.0] + [0.9] * 7
    for number in range(10):
        follower.update([person(50, scores=hidden)], [1.0], number / FPS)
    away = person(50)
    away.points[9] += 200
    (found,) = follower.update([away], [1.0], 10 / FPS)
    np.testing.assert_array_equal(found.points[9], away.points[9])


def test_smoothing_does_not_touch_the_points_that_it_was_given() -> None:
    follower, given = tracker(smooth=True), person(50)
    before = given.points.copy()
    for number in range(3):
        (found,) = follower.update([given], [1.0], number / FPS)
        found.points[:] = -1
    np.testing.assert_array_equal(given.points, before)
    np.testing.assert_allclose(follower.update([given], [1.0], 0.1)[0].points, before)


def test_each_counts_once_and_the_most_similar_go_together() -> None:
    similar = np.array([[0.9, 0.8, 0.0], [0.85, 0.1, 0.0]])
    assert best_pairs(similar, 0.3) == [(0, 0)]
    assert best_pairs(similar.T, 0.1) == [(0, 0), (1, 1)]
