"""Suppression of poses against the reference results of mmpose."""

from pathlib import Path

import numpy as np
import pytest

from edgepose.pose.oks import oks_between, sigmas_for
from edgepose.pose.pose_nms import oks_nms, soft_oks_nms

SIGMAS = sigmas_for(17)


@pytest.mark.parametrize("case", range(4))
@pytest.mark.parametrize("limit", [0.5, 0.9])
def test_the_same_poses_stay_as_in_the_original_code(
    shared_data: Path, case: int, limit: float
) -> None:
    with np.load(shared_data / "reference" / "post_oks_nms.npz", allow_pickle=False) as data:
        poses, scores, areas = (data[f"t{case}_{name}"] for name in ("kpts", "scores", "areas"))
        plain, seen = data[f"t{case}_keep_{limit}"], data[f"t{case}_keep_vis0.2_{limit}"]
        soft, first = data[f"t{case}_soft_{limit}"], data[f"t{case}_iou0"]
    np.testing.assert_array_equal(oks_nms(poses, scores, areas, SIGMAS, limit), plain)
    np.testing.assert_array_equal(oks_nms(poses, scores, areas, SIGMAS, limit, 0.2), seen)
    np.testing.assert_array_equal(soft_oks_nms(poses, scores, areas, SIGMAS, limit), soft)
    similar = oks_between(poses[:1], poses, SIGMAS, (areas[:1], areas))
    np.testing.assert_allclose(similar[0], first, atol=1e-6)


def test_no_poses_leave_none() -> None:
    none = np.zeros((0, 17, 3))
    assert not len(oks_nms(none, none[:, 0, 0], none[:, 0, 0], SIGMAS, 0.9))
    assert not len(soft_oks_nms(none, none[:, 0, 0], none[:, 0, 0], SIGMAS, 0.9))


def test_poses_without_a_common_point_do_not_suppress_each_other() -> None:
    pose = np.ones((2, 17, 3))
    pose[1, :, 2] = 0
    kept = oks_nms(pose, np.array([0.9, 0.8]), np.ones(2), SIGMAS, 0.5, least_score=0.2)
    assert kept.tolist() == [0, 1]
