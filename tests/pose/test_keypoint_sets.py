"""The orders of the data sets' key points, their mirror images and their limbs."""

import pytest

from edgepose.pose.keypoint_sets import (
    AIC_COCO,
    AP10K,
    COCO,
    CROWDPOSE,
    MPII,
    WHOLEBODY,
    KeypointSet,
    keypoint_set,
)
from edgepose.zoo import ModelSpec, list_models, model_spec

ALL = (COCO, CROWDPOSE, MPII, WHOLEBODY, AP10K, AIC_COCO)
# As published with the data sets' own tools (300-W's for the face).
_MIRRORED_FACE = (
    *(16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
    *(26, 25, 24, 23, 22, 21, 20, 19, 18, 17),
    *(27, 28, 29, 30, 35, 34, 33, 32, 31),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
    *(64, 63, 62, 61, 60, 67, 66, 65),
)
by_name = pytest.mark.parametrize("points", ALL, ids=lambda points: points.name)


def spec(dataset: str, keypoints: int) -> ModelSpec:
    return ModelSpec(
        name="net",
        family="onnx",
        task="top-down",
        input=None,
        outputs=(),
        dataset=dataset,
        keypoints=keypoints,
    )


def test_coco_has_pycocotools_order() -> None:
    assert COCO.names == (
        *("nose", "left_eye", "right_eye", "left_ear", "right_ear"),
        *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow"),
        *("left_wrist", "right_wrist", "left_hip", "right_hip"),
        *("left_knee", "right_knee", "left_ankle", "right_ankle"),
    )


def test_points_trade_places_in_a_mirror_as_the_data_sets_say() -> None:
    assert COCO.mirrored == (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
    assert CROWDPOSE.mirrored == (1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 12, 13)
    assert MPII.mirrored == (5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10)
    assert AP10K.mirrored == (1, 0, 2, 3, 4, 8, 9, 10, 5, 6, 7, 14, 15, 16, 11, 12, 13)
    assert AIC_COCO.mirrored == (*COCO.mirrored, 17, 18)


def test_a_whole_body_mirrors_part_by_part() -> None:
    mirrored = WHOLEBODY.mirrored
    assert mirrored[:17] == COCO.mirrored
    assert mirrored[17:23] == (20, 21, 22, 17, 18, 19)
    assert tuple(index - 23 for index in mirrored[23:91]) == _MIRRORED_FACE
    assert mirrored[91:] == (*range(112, 133), *range(91, 112))


@by_name
def test_mirroring_twice_changes_nothing(points: KeypointSet) -> None:
    mirrored = points.mirrored
    assert [mirrored[index] for index in mirrored] == list(range(len(points.names)))


@by_name
def test_a_pair_is_left_then_right(points: KeypointSet) -> None:
    for left, right in points.pairs:
        assert (points.sides[left], points.sides[right]) == ("left", "right")


@by_name
def test_limbs_join_points_once_and_mirror_to_limbs_of_the_other_side(
    points: KeypointSet,
) -> None:
    other = {"left": "right", "right": "left", "centre": "centre"}
    sides = {frozenset((limb.start, limb.end)): limb.side for limb in points.limbs}
    assert len(sides) == len(points.limbs)
    for limb in points.limbs:
        assert limb.start != limb.end
        twin = frozenset((points.mirrored[limb.start], points.mirrored[limb.end]))
        assert sides[twin] == other[limb.side]


@by_name
def test_limbs_reach_every_point(points: KeypointSet) -> None:
    reached = {index for limb in points.limbs for index in (limb.start, limb.end)}
    assert reached == set(range(len(points.names)))


def test_every_pose_model_that_can_be_decoded_has_a_set_of_as_many_points() -> None:
    models = [model_spec(name) for name in list_models()]
    poses = [model for model in models if model.keypoints and model.decoder]
    assert len(poses) > 20
    for one in poses:
        points = keypoint_set(one)
        assert len(points.names) == one.keypoints
        assert points.limbs


def test_animals_are_told_from_people_by_their_data_set() -> None:
    assert keypoint_set(spec("ap10k", 17)) is AP10K
    assert keypoint_set(spec("coco", 17)) is COCO


@pytest.mark.parametrize(("dataset", "keypoints"), [("", 17), ("my people", 17), ("mpii", 17)])
def test_an_unknown_data_set_is_taken_by_its_number_of_points(dataset: str, keypoints: int) -> None:
    assert keypoint_set(spec(dataset, keypoints)) is COCO


def test_an_unknown_number_of_points_has_neither_pairs_nor_limbs() -> None:
    points = keypoint_set(spec("mine", 5))
    assert (len(points.names), points.pairs, points.limbs) == (5, (), ())
    assert points.mirrored == (0, 1, 2, 3, 4)
