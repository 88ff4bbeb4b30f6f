"""Annotation and detection files: what is read from good ones, and what is said of bad ones."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from edgepose.errors import ConfigError
from edgepose.evaluate.annotations import read_annotations
from edgepose.evaluate.datasets import DATASETS
from edgepose.evaluate.found_boxes import read_detections, true_boxes
from tests.evaluate.files import JSON, coco, mpii, save, without

COCO, MPII = DATASETS["coco"], DATASETS["mpii"]


def test_the_reference_photographs_hold_fourteen_people_of_whom_twelve_are_targets(
    shared_data: Path,
) -> None:
    truth = read_annotations(shared_data / "images" / "test_coco.json", COCO)
    assert [image.image_id for image in truth.images] == [785, 40083, 196141, 197388]
    assert len(truth.people) == 14
    assert sum(person.is_target for person in truth.people) == 12
    assert sum(len(each.boxes) for each in true_boxes(truth).values()) == 12


def test_the_first_images_are_those_with_the_lowest_ids(shared_data: Path) -> None:
    truth = read_annotations(shared_data / "images" / "test_coco.json", COCO).first(2)
    assert [image.image_id for image in truth.images] == [785, 40083]
    assert {person.image_id for person in truth.people} <= {785, 40083}


@pytest.mark.parametrize("field", ["image_id", "category_id", "bbox", "keypoints", "area"])
def test_a_missing_field_is_named_with_its_annotation(tmp_path: Path, field: str) -> None:
    path = save(tmp_path / "a.json", without(coco(), field))
    with pytest.raises(ConfigError, match=rf"annotation 0 \(id 7\) has no field '{field}'"):
        read_annotations(path, COCO)


@pytest.mark.parametrize("field", ["id", "file_name"])
def test_a_missing_field_of_an_image_is_named(tmp_path: Path, field: str) -> None:
    path = save(tmp_path / "a.json", without(coco(), field, "images"))
    with pytest.raises(ConfigError, match=rf"image 0.* has no field '{field}'"):
        read_annotations(path, COCO)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bbox": [1, 2, 3]}, r"'bbox' = \[1, 2, 3\], not 4 numbers"),
        ({"bbox": [1, 2, 3, None]}, "not 4 numbers"),
        ({"bbox": "10 10 20 20"}, "not 4 numbers"),
        ({"keypoints": [1, 2, 2] * 14}, "has 14 key points in 'keypoints', COCO has 17"),
        ({"keypoints": [1, 2, float("nan")] * 17}, "not valid JSON|not 51 numbers"),
        ({"area": "large"}, "'area' = large, not a number"),
        ({"image_id": "first"}, "not a whole number"),
        ({"image_id": 3}, "is of image 3, which is not listed"),
        ({"category_id": 18}, "is of category 18, persons are of 1"),
        ({"keypoints": [0] * 51, "num_keypoints": 0}, "no annotation has key points"),
    ],
)
def test_a_wrong_value_is_told_with_its_place(tmp_path: Path, changes: JSON, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_annotations(save(tmp_path / "a.json", coco(**changes)), COCO)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "not an annotation file in COCO's format"),
        ([], "not an annotation file in COCO's format"),
        ({"images": [], "annotations": []}, "nothing is annotated"),
        (coco() | {"annotations": []}, "nothing is annotated"),
        (coco() | {"annotations": 5}, "'annotations' in it is not a list"),
        (coco() | {"images": None}, "'images' in it is not a list"),
        (coco() | {"categories": 5}, "'categories' in it is not a list"),
        (
            coco() | {"categories": [{"id": None, "name": "person"}]},
            "category 0 .*'id' = None, which is not a whole number",
        ),
        (coco() | {"annotations": ["person"]}, "annotation 0 is not an object"),
        (coco() | {"images": coco()["images"] + [{"id": 2}]}, "image 2 .*has the id of another"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: JSON, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_annotations(save(tmp_path / "a.json", content), COCO)


def test_a_file_that_is_absent_or_no_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_annotations(tmp_path / "none.json", COCO)
    (tmp_path / "half.json").write_text(json.dumps(coco())[:-20])
    with pytest.raises(ConfigError, match="not valid JSON"):
        read_annotations(tmp_path / "half.json", COCO)


def test_the_category_of_persons_is_the_one_of_that_name(tmp_path: Path) -> None:
    content = coco(category_id=4) | {"categories": [{"id": 4, "name": "person"}]}
    assert read_annotations(save(tmp_path / "a.json", content), COCO).people[0].category_id == 4


def test_crowdpose_has_no_areas_but_crowd_indices(tmp_path: Path) -> None:
    crowdpose = DATASETS["crowdpose"]
    content = without(coco(14), "area")
    path = save(tmp_path / "a.json", content)
    with pytest.raises(ConfigError, match=r"image 0 .*has no field 'crowdIndex'"):
        read_annotations(path, crowdpose)
    for image in content["images"]:
        image["crowdIndex"] = 0.5
    truth = read_annotations(save(path, content), crowdpose)
    assert truth.people[0].area == pytest.approx(0.53 * 20 * 40)


def test_whole_bodies_are_put_together_from_their_fields(tmp_path: Path) -> None:
    dataset = DATASETS["coco-wholebody"]
    counts = {part.field: part.last - part.first for part in dataset.parts}
    parts = {field: [number, number, 1] * n for number, (field, n) in enumerate(counts.items())}
    truth = read_annotations(save(tmp_path / "a.json", coco(**parts)), dataset)
    [person] = truth.people
    assert person.points.shape == (133, 3)
    assert person.points[:, 0].tolist() == [0] * 17 + [1] * 6 + [2] * 68 + [3] * 21 + [4] * 21
    path = save(tmp_path / "b.json", coco(**{**parts, "foot_kpts": [1, 1, 1]}))
    with pytest.raises(ConfigError, match="1 key points in 'foot_kpts', COCO-WholeBody has 6"):
        read_annotations(path, dataset)


def test_animals_may_be_of_any_category(tmp_path: Path) -> None:
    truth = read_annotations(save(tmp_path / "a.json", coco(category_id=26)), DATASETS["ap10k"])
    assert true_boxes(truth)[1].categories == (26,)


def test_mpii_counts_from_one_and_crops_a_little_below_the_centre(tmp_path: Path) -> None:
    [person] = read_annotations(save(tmp_path / "mpii_val.json", mpii()), MPII).people
    assert person.points[0].tolist() == [99, 49, 1]
    assert person.counted == 15
    assert person.box == (119, 49, 519, 449)  # 2 · 200 px around (319, 219 + 2 · 15)
    assert person.head_px == pytest.approx(0.6 * 50)


def test_heads_of_mpii_may_come_from_the_matlab_file_beside(tmp_path: Path) -> None:
    entries = [*mpii(), *mpii(image="two.jpg")]
    for entry in entries:
        del entry["head_box"]
    path = save(tmp_path / "mpii_val.json", entries)
    with pytest.raises(ConfigError, match=r"no 'head_box', and there is no mpii_gt_val\.mat"):
        read_annotations(path, MPII)
    corners = np.array([[[0, 10], [0, 10]], [[30, 70], [40, 90]]])  # corner, axis, person
    savemat(tmp_path / "mpii_gt_val.mat", {"headboxes_src": corners})
    people = read_annotations(path, MPII).people
    assert [person.head_px for person in people] == pytest.approx([0.6 * 50, 0.6 * 100])
    savemat(tmp_path / "mpii_gt_val.mat", {"headboxes_src": corners[..., :1]})
    with pytest.raises(ConfigError, match="no boxes of 2 heads"):
        read_annotations(path, MPII)
    (tmp_path / "mpii_gt_val.mat").write_text("nothing of Matlab's")
    with pytest.raises(ConfigError, match="not a Matlab file"):
        read_annotations(path, MPII)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (coco(), "not MPII's list"),
        ([], "nothing is annotated"),
        (mpii(joints=[[1, 2]] * 17), "not 16 × 2 numbers"),
        (mpii(scale=0), "'scale' = 0, which is not positive"),
        (mpii(head_box=[1, 1, 1, 1]), "box of entry 0 is empty"),
        ([{}], "entry 0 has no field 'image'"),
    ],
)
def test_mpii_files_that_are_wrong_are_refused(tmp_path: Path, content: JSON, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_annotations(save(tmp_path / "mpii_val.json", content), MPII)


def _detection(**changes: JSON) -> JSON:
    return {"image_id": 1, "category_id": 1, "bbox": [1, 2, 10, 20], "score": 0.5} | changes


def test_detections_become_boxes_by_image(tmp_path: Path) -> None:
    truth = read_annotations(save(tmp_path / "a.json", coco()), COCO)
    others = [_detection(category_id=3), _detection(image_id=9), _detection(bbox=[1, 1, 0, 5])]
    path = save(tmp_path / "d.json", [_detection(), _detection(image_id=2, score=0.1), *others])
    given, _ = read_detections(path, truth)
    assert {key: each.boxes.tolist() for key, each in given.items()} == {
        1: [[1, 2, 11, 22]],
        2: [[1, 2, 11, 22]],
    }
    assert given[2].scores.tolist() == [0.1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (coco(), "not a list of detections"),
        ([], "not a list of detections"),
        ([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}], "0 has no field 'score'"),
        ([_detection(score=None)], "'score' = None, not a number"),
        ([_detection(category_id=3)], "no person in any of the 2 images"),
        ([_detection(image_id=99)], "no person in any of the 2 images"),
    ],
)
def test_detections_that_are_of_no_use_are_refused(
    tmp_path: Path, content: JSON, message: str
) -> None:
    truth = read_annotations(save(tmp_path / "a.json", coco()), COCO)
    with pytest.raises(ConfigError, match=message):
        read_detections(save(tmp_path / "d.json", content), truth)


def test_annotated_boxes_are_cut_to_the_image_and_empty_ones_left_out(tmp_path: Path) -> None:
    truth = read_annotations(save(tmp_path / "a.json", coco(bbox=[-10, -10, 30, 100])), COCO)
    given = true_boxes(truth)[1]
    assert given.within(48, 64).boxes.tolist() == [[0, 0, 20, 47]]
    assert len(given.within(48, 64).categories) == 1
    outside = read_annotations(save(tmp_path / "b.json", coco(bbox=[90, 10, 20, 20])), COCO)
    assert true_boxes(outside)[1].within(48, 64).categories == ()
