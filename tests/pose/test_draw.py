"""Skeletons on pictures: what is sure is seen, in the colour of its side, on any background."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edgepose.pose.draw import COLORS, DrawStyle, draw
from edgepose.pose.keypoint_sets import COCO, WHOLEBODY, keypoint_set
from edgepose.pose.people import Person
from edgepose.zoo import ModelSpec

_BODY = {
    **{"nose": (100, 30), "left_eye": (105, 25), "right_eye": (95, 25)},
    **{"left_ear": (112, 30), "right_ear": (88, 30)},
    **{"left_shoulder": (130, 60), "right_shoulder": (70, 60)},
    **{"left_elbow": (150, 100), "right_elbow": (50, 100)},
    **{"left_wrist": (160, 140), "right_wrist": (40, 140)},
    **{"left_hip": (120, 140), "right_hip": (80, 140)},
    **{"left_knee": (125, 190), "right_knee": (75, 190)},
    **{"left_ankle": (125, 240), "right_ankle": (75, 240)},
}
PLAIN = DrawStyle(threshold=0.3, ids=False)


def background(value: int = 128) -> NDArray[np.uint8]:
    return np.full((280, 200, 3), value, np.uint8)


def body(score: float = 0.95, id: int | None = None, scale: float = 1.0) -> Person:
    points = np.array([_BODY[name] for name in COCO.names], np.float64) * scale
    box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    return Person(points, np.full(17, score, np.float32), box, score, id)


def middle(start: str, end: str) -> tuple[int, int]:
    """Row and column half-way along a limb."""
    (x0, y0), (x1, y1) = _BODY[start], _BODY[end]
    return (y0 + y1) // 2, (x0 + x1) // 2


def test_the_picture_given_stays_as_it_was() -> None:
    image = background()
    drawn = draw(image, [body(id=1)], COCO, note="30 fps")
    assert (image == 128).all()
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert (drawn != image).any()


def test_limbs_have_the_colour_of_their_side() -> None:
    drawn = draw(background(), [body()], COCO, PLAIN)
    assert tuple(drawn[middle("left_hip", "left_knee")]) == COLORS["left"]
    assert tuple(drawn[middle("right_hip", "right_knee")]) == COLORS["right"]
    assert tuple(drawn[middle("left_shoulder", "right_shoulder")]) == COLORS["centre"]


def test_a_point_below_the_threshold_takes_its_limbs_away() -> None:
    person = body()
    person.scores[COCO.names.index("left_knee")] = 0.29
    drawn = draw(background(), [person], COCO, PLAIN)
    for limb in (("left_hip", "left_knee"), ("left_knee", "left_ankle")):
        assert tuple(drawn[middle(*limb)]) == (128, 128, 128)
    assert tuple(drawn[middle("right_hip", "right_knee")]) == COLORS["right"]


def test_what_is_surer_is_more_opaque() -> None:
    place = middle("left_hip", "left_knee")
    away = [
        np.abs(draw(background(), [body(score)], COCO, PLAIN)[place].astype(int) - 128).sum()
        for score in (0.2, 0.3, 0.45, 0.9)
    ]
    assert away[0] == 0
    assert 0 < away[1] < away[2] < away[3]


def test_a_point_that_was_not_found_is_never_drawn() -> None:
    drawn = draw(background(), [body(0.0)], COCO, DrawStyle(threshold=-1))
    assert np.array_equal(drawn, background())


@pytest.mark.parametrize("value", [0, 60, 200, 255])
def test_a_limb_stands_out_from_any_background(value: int) -> None:
    """By itself on a dark one, by its dark rim on a light one."""
    drawn = draw(background(value), [body()], COCO, PLAIN).astype(int)
    row, column = middle("left_knee", "left_ankle")
    around = drawn[row, column - 12 : column + 13].mean(axis=1)
    assert around.max() - around.min() > 80
    if value >= 200:
        assert around.min() < value - 40


def test_limbs_grow_with_the_person() -> None:
    def width(scale: float) -> int:
        image = np.full((round(280 * scale), round(200 * scale), 3), 128, np.uint8)
        drawn = draw(image, [body(scale=scale)], COCO, PLAIN)
        row = round(215 * scale)
        half = drawn[row, round(100 * scale) :]
        return int((np.abs(half.astype(int) - COLORS["left"]).sum(axis=1) < 30).sum())

    assert 1 <= width(0.5) < width(1.0) < width(3.0)


def test_the_id_is_shown_above_the_head_and_can_be_left_out() -> None:
    with_id = draw(background(), [body(id=12)], COCO, DrawStyle())
    without = draw(background(), [body(id=12)], COCO, PLAIN)
    changed = np.argwhere((with_id != without).any(axis=2))
    assert len(changed) > 50
    assert changed[:, 0].max() < 30
    other = draw(background(), [body(id=13)], COCO, DrawStyle())
    assert (other != with_id).any()


def test_a_person_without_an_id_has_no_label() -> None:
    assert np.array_equal(
        draw(background(), [body()], COCO, DrawStyle()),
        draw(background(), [body()], COCO, PLAIN),
    )


def test_the_box_is_drawn_where_it_is_wanted() -> None:
    drawn = draw(background(), [body()], COCO, DrawStyle(ids=False, boxes=True))
    plain = draw(background(), [body()], COCO, PLAIN)
    _, y0, x1, y1 = body().box.astype(int)
    edge = np.s_[y0:y1, x1 - 1 : x1 + 2]
    assert (drawn[edge] != plain[edge]).any(axis=(1, 2)).mean() > 0.9


def test_the_note_is_a_pill_in_the_upper_left_corner() -> None:
    drawn = draw(background(), [], COCO, note="30 fps")
    changed = np.argwhere((drawn != 128).any(axis=2))
    assert changed.max(axis=0)[0] < 40
    assert changed.max(axis=0)[1] < 150
    assert drawn.max() > 220  # the letters


def test_what_is_near_hides_what_is_far() -> None:
    far = body(scale=0.5)
    near = body()
    assert np.array_equal(
        draw(background(), [near, far], COCO, PLAIN), draw(background(), [far, near], COCO, PLAIN)
    )


def test_nobody_gives_the_same_picture() -> None:
    assert np.array_equal(draw(background(), [], COCO), background())


@pytest.mark.parametrize("place", [(-500.0, -500.0), (1e9, 3.0), (np.nan, 3.0), (-np.inf, np.inf)])
def test_points_far_outside_do_no_harm(place: tuple[float, float]) -> None:
    person = body(id=1)
    person.points[COCO.names.index("left_wrist")] = place
    drawn = draw(background(), [person], COCO, DrawStyle(boxes=True))
    assert tuple(drawn[middle("right_hip", "right_knee")]) == COLORS["right"]


def test_a_person_outside_of_the_picture_changes_nothing_but_labels() -> None:
    person = body()
    person.points[:] += 5000
    assert np.array_equal(draw(background(), [person], COCO, PLAIN), background())


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (9, 9)])
def test_the_smallest_pictures_are_drawn_on_too(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 128, np.uint8)
    assert draw(image, [body(id=1)], COCO, note="30 fps").shape == image.shape


def test_two_hundred_people_are_drawn() -> None:
    people = [body(scale=0.2, id=number) for number in range(200)]
    assert (draw(background(), people, COCO) != 128).any()


def test_details_of_a_whole_body_are_finer_than_its_limbs() -> None:
    points = np.tile([20.0, 20.0], (133, 1))
    points[[7, 9]] = (100, 60), (100, 160)  # left elbow, left wrist
    points[[92, 93]] = (40, 60), (40, 160)  # a thumb
    scores = np.zeros(133, np.float32)
    scores[[7, 9, 92, 93]] = 0.95
    person = Person(points, scores, np.array([20.0, 20, 120, 180]), 0.9)
    drawn = draw(background(), [person], WHOLEBODY, PLAIN)
    widths = [
        int((drawn[110, column - 10 : column + 10] != 128).any(axis=1).sum())
        for column in (100, 40)
    ]
    assert widths[0] > widths[1] > 0


def test_points_of_an_unknown_set_are_dots() -> None:
    spec = ModelSpec(
        name="net", family="onnx", task="top-down", input=None, outputs=(), keypoints=2
    )
    person = Person(
        np.array([[50.0, 50.0], [150.0, 50.0]]),
        np.ones(2, np.float32),
        np.array([50.0, 20, 150, 80]),
        1.0,
    )
    drawn = draw(background(), [person], keypoint_set(spec), PLAIN)
    assert (drawn[50, 50] != 128).any()
    assert (drawn[50, 100] == 128).all()
