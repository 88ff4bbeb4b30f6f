from pathlib import Path

import numpy as np
import pytest

from edgepose.pose.nms import box_iou, greedy, nms, nms_per_class
from edgepose.pose.oks import oks, sigmas_for


@pytest.mark.parametrize("case", range(4))
def test_box_nms_keeps_what_the_original_code_keeps(shared_data: Path, case: int) -> None:
    reference = np.load(shared_data / "reference" / "post_oks_nms.npz")
    boxes = reference[f"t{case}_box"]
    kept = nms(boxes[:, :4], boxes[:, 4], 0.5)
    np.testing.assert_array_equal(kept, reference[f"t{case}_box_keep_0.5"])


@pytest.mark.parametrize("case", range(4))
def test_oks_matches_the_original_code(shared_data: Path, case: int) -> None:
    reference = np.load(shared_data / "reference" / "post_oks_nms.npz")
    points, areas = reference[f"t{case}_kpts"][..., :2], reference[f"t{case}_areas"]
    found = [
        oks(points[0], other, sigmas_for(17), (areas[0] + area) / 2)
        for other, area in zip(points, areas, strict=True)
    ]
    np.testing.assert_allclose(found, reference[f"t{case}_iou0"], rtol=1e-5)


def test_a_box_at_exactly_the_threshold_stays() -> None:
    boxes = np.array([[0, 0, 4, 3], [0, 0, 4, 1.5]])
    assert box_iou(boxes[:1], boxes[1:])[0, 0] == 0.5
    scores = np.array([0.8, 0.9])
    np.testing.assert_array_equal(nms(boxes, scores, 0.5), [1, 0])
    np.testing.assert_array_equal(nms(boxes, scores, 0.49), [1])


def test_many_boxes_are_suppressed_like_few() -> None:
    random = np.random.default_rng(0)
    corners = random.uniform(0, 300, (2000, 2))
    boxes = np.concatenate([corners, corners + random.uniform(0, 90, (2000, 2))], axis=1)
    boxes, scores = boxes.astype(np.float32), random.random(2000).astype(np.float32)
    order = np.argsort(-scores, kind="stable")
    falls = box_iou(boxes[order], boxes[order]) > 0.4
    wanted = order[greedy(falls)]
    assert 100 < len(wanted) < 1500
    np.testing.assert_array_equal(nms(boxes, scores, 0.4), wanted)
    np.testing.assert_array_equal(nms(boxes, scores, 0.4, most=100), wanted[:100])
    classes = random.integers(0, 3, 2000)
    every = nms_per_class(boxes, scores, classes, 0.4)
    np.testing.assert_array_equal(nms_per_class(boxes, scores, classes, 0.4, 100), every[:100])


@pytest.mark.parametrize("count", [0, 1, 5, 64, 65, 200])
def test_few_boxes_are_suppressed_like_many(count: int) -> None:
    """Up to 64 one by one in plain numbers; here all pairs at once are what must come out."""
    random = np.random.default_rng(count)
    corners = random.integers(0, 60, (count, 2))
    boxes = np.concatenate([corners, corners + random.integers(0, 40, (count, 2))], axis=1)
    boxes, scores = boxes.astype(np.float32), random.integers(0, 20, count).astype(np.float32)
    order = np.argsort(-scores, kind="stable")
    wanted = order[greedy(box_iou(boxes[order], boxes[order]) > 0.5)]
    np.testing.assert_array_equal(nms(boxes, scores, 0.5), wanted)
    np.testing.assert_array_equal(nms(boxes, scores, 0.5, most=3), wanted[:3])


def test_empty_boxes_overlap_nothing_and_no_boxes_stay_none() -> None:
    empty = np.array([[1.0, 1, 1, 1], [0, 0, 2, 2]])
    np.testing.assert_array_equal(box_iou(empty, empty), [[0, 0], [0, 1]])
    assert nms(np.zeros((0, 4)), np.zeros(0), 0.5).shape == (0,)
    assert nms_per_class(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64), 0.5).shape == (0,)


def test_sigmas_follow_the_number_of_key_points() -> None:
    assert sigmas_for(17)[0] == 0.026
    assert sigmas_for(14)[-1] == 0.079
    np.testing.assert_array_equal(sigmas_for(16), np.full(16, 0.05))


def test_oks_falls_as_coco_says() -> None:
    sigmas = np.array([0.05])
    distance = np.array([[3.0, 4.0]])
    assert oks(np.zeros((1, 2)), np.zeros((1, 2)), sigmas, 100.0) == 1
    expected = np.exp(-25 / (2 * 100 * 0.1**2))
    assert oks(np.zeros((1, 2)), distance, sigmas, 100.0) == pytest.approx(expected)
