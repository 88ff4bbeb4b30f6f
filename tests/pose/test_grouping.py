"""Grouping of associative embeddings: the reference results, and the fast way beside the exact."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.peers import plain_grouping
from edgepose.errors import UsageError
from edgepose.pose.decode.blocks import in_whole_blocks, over_blocks
from edgepose.pose.decode.grouping import find_peaks, group
from edgepose.pose.decode.grouping_fast import group_fast, group_maps
from edgepose.pose.decode.matching import ORIGINAL, Peaks, joint_order, match
from edgepose.zoo import AssociativeDecoder

Floats = NDArray[np.float32]
CASES = [f"{data}{number}" for data in ("coco", "crowdpose") for number in range(6)]
KEYPOINTS = 17


@pytest.mark.parametrize("case", CASES)
def test_grouping_equals_the_original_code(shared_data: Path, case: str) -> None:
    with np.load(shared_data / "reference" / "post_ae_grouping.npz", allow_pickle=False) as data:
        heatmaps, tags = data[f"{case}_det"], data[f"{case}_tag"]
        wanted = {name: data[f"{case}_{name}"] for name in ("match", "final", "scores")}
        adjusted = data[f"{case}_adjust"] if len(wanted["scores"]) else None
    matched = match(_peaks(heatmaps, tags), len(heatmaps))
    people, plain = group(heatmaps, tags), group(heatmaps, tags, refine=False)
    assert len(people.scores) == len(wanted["scores"])
    if adjusted is None:
        return
    np.testing.assert_array_equal(matched.astype(np.float32), wanted["match"])
    np.testing.assert_array_equal(plain.points, adjusted[..., :2])
    np.testing.assert_array_equal(people.points, wanted["final"][..., :2])
    np.testing.assert_array_equal(people.values, wanted["final"][..., 2])
    np.testing.assert_array_equal(people.scores, wanted["scores"])


@pytest.mark.parametrize("shape", [(96, 96), (75, 101)])
@pytest.mark.parametrize("tags_per_cell", [1, 2])
def test_grouping_equals_the_plain_algorithm_on_any_size(
    shape: tuple[int, int], tags_per_cell: int
) -> None:
    out0, out1 = _scene(people=4, shape=(shape[0] // 2, shape[1] // 2))
    heatmaps = _enlarged(out1[0], shape)
    # Of equal peaks, torch takes any first.
    heatmaps += np.random.default_rng(0).uniform(0, 1e-5, heatmaps.shape).astype(np.float32)
    tag = _enlarged(out0[0, KEYPOINTS:], shape)
    tags = np.stack([tag + 0.1 * index for index in range(tags_per_cell)], axis=-1)
    wanted, scores = plain_grouping.group(heatmaps, tags, joint_order(KEYPOINTS))
    found = group(heatmaps, tags)
    np.testing.assert_allclose(found.points, wanted[..., :2])
    np.testing.assert_allclose(found.values, wanted[..., 2])
    np.testing.assert_allclose(found.scores, scores, rtol=1e-6)


def test_whom_a_tag_names_twice_is_one_person_as_in_the_plain_algorithm() -> None:
    for seed in range(3):
        random = np.random.default_rng(seed)
        heatmaps = _noise(random, (64, 80), 3.0)
        tags = np.round(_noise(random, (64, 80), 6.0))[..., None]
        wanted, scores = plain_grouping.group(heatmaps, tags, joint_order(KEYPOINTS))
        found = group(heatmaps, tags)
        assert len(scores) < len(_peaks(heatmaps, tags).joints) / 4
        np.testing.assert_allclose(found.points, wanted[..., :2])
        np.testing.assert_allclose(found.scores, scores, rtol=1e-6)


@pytest.mark.parametrize("tags_per_cell", [1, 2])
def test_no_better_cell_for_a_missing_joint_is_passed_over(tags_per_cell: int) -> None:
    """Where values and tags change from cell to cell, so that few blocks can be left out."""
    for seed in range(2):
        random = np.random.default_rng(seed)
        heatmaps = random.random((KEYPOINTS, 43, 61), np.float32)
        heatmaps[::2] *= 0.09  # nobody has these
        tags = random.normal(0, 3, (KEYPOINTS, 43, 61, tags_per_cell)).astype(np.float32)
        wanted, _ = plain_grouping.group(heatmaps, tags, joint_order(KEYPOINTS))
        found = group(heatmaps, tags)
        np.testing.assert_allclose(found.points, wanted[..., :2])
        np.testing.assert_allclose(found.values, wanted[..., 2])


@pytest.mark.parametrize(
    "settings", [{"detection_threshold": 0.6}, {"tag_threshold": 0.03}, {"max_people": 3}]
)
def test_both_ways_heed_what_the_decoder_says(settings: dict[str, float]) -> None:
    out0, out1 = _scene(8, shape=(96, 80))
    maps = (_enlarged(out0[0, :KEYPOINTS], (96, 80)) + out1[0]) / 2
    tags = _enlarged(_enlarged(out0[0, KEYPOINTS:], (96, 80)), (192, 160))[..., None]
    decoder = AssociativeDecoder(**settings)
    usual, exact = (group(_enlarged(maps, (192, 160)), tags, each) for each in (ORIGINAL, decoder))
    fast = group_fast(out0, out1, KEYPOINTS, decoder)
    assert usual.scores.tolist() != exact.scores.tolist()
    np.testing.assert_allclose(fast.scores, exact.scores, atol=1e-5)


def test_a_peak_below_zero_is_none() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        AssociativeDecoder(detection_threshold=-0.1)


@pytest.mark.parametrize("people", [0, 1, 5, 12])
def test_the_fast_way_finds_what_the_exact_one_finds(people: int) -> None:
    out0, out1 = _scene(people, shape=(112, 112))
    size = (out1.shape[2] * 2, out1.shape[3] * 2)
    heatmaps = (_enlarged(out0[0, :KEYPOINTS], out1.shape[2:]) + out1[0]) / 2
    tags = _enlarged(_enlarged(out0[0, KEYPOINTS:], out1.shape[2:]), size)
    exact = group(_enlarged(heatmaps, size), tags[..., None])
    fast = group_fast(out0, out1, KEYPOINTS)
    assert len(fast.scores) == len(exact.scores) >= people
    distances = np.linalg.norm(fast.points - exact.points, axis=-1)
    assert distances.mean() <= 0.5 if people else not distances.size
    np.testing.assert_allclose(fast.scores, exact.scores, atol=1e-5)


def test_the_fast_way_stays_inside_where_joints_lie_at_the_edges() -> None:
    out0, out1 = (np.zeros(shape, np.float32) for shape in ((1, 34, 32, 24), (1, 17, 64, 48)))
    corners = [(0, 0), (0, -1), (-1, 0), (-1, -1)]
    for joint in range(KEYPOINTS):
        y, x = corners[joint % len(corners)]
        out1[0, joint, y, x] = 1
    fast = group_fast(out0, out1, KEYPOINTS)
    maps = _enlarged(out1[0] / 2, (128, 96))
    exact = group(maps, np.zeros((*maps.shape, 1), np.float32))
    assert len(fast.scores) == len(exact.scores) == 1
    np.testing.assert_array_equal(fast.points, exact.points)
    np.testing.assert_allclose(fast.values, exact.values)


def test_the_fast_way_groups_the_tags_of_two_passes() -> None:
    out0, out1 = _scene(4, shape=(96, 80))
    size = (192, 160)
    heatmaps = (_enlarged(out0[0, :KEYPOINTS], (96, 80)) + out1[0]) / 2
    passes = [out0[0, KEYPOINTS:], out0[0, KEYPOINTS:] + np.float32(0.1)]
    tags = np.stack([_enlarged(_enlarged(each, (96, 80)), size) for each in passes], axis=-1)
    exact = group(_enlarged(heatmaps, size), tags)
    fast = group_maps(heatmaps, np.stack(passes))
    assert len(fast.scores) == len(exact.scores) >= 4
    assert np.linalg.norm(fast.points - exact.points, axis=-1).mean() <= 0.5


def test_the_fast_way_finds_peaks_on_the_edge_within_the_map() -> None:
    for seed in range(20):
        noise = np.random.default_rng(seed)
        smooth = [
            np.stack([cv2.GaussianBlur(each, (0, 0), 6) * 3 for each in noise.normal(size=shape)])
            for shape in ((28, 56, 56), (14, 112, 112))
        ]
        out0, out1 = (maps[None].astype(np.float32) for maps in smooth)
        found = group_fast(out0, out1, 14)
        points = found.points[found.values > 0]
        assert len(points)
        assert (points >= -0.5).all()
        assert (points < 224.5).all()


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_tags_that_are_no_numbers_are_nobodys(share: float) -> None:
    out0, out1 = _scene(3, shape=(96, 80))
    tags = out0[0, KEYPOINTS:]
    tags[np.random.default_rng(0).random(tags.shape) < share] = np.nan
    heatmaps = _enlarged((_enlarged(out0[0, :KEYPOINTS], (96, 80)) + out1[0]) / 2, (192, 160))
    exact = group(heatmaps, _enlarged(_enlarged(tags, (96, 80)), (192, 160))[..., None])
    fast = group_fast(out0, out1, KEYPOINTS)
    for people in (exact, fast):
        assert np.isfinite(people.points).all()
        assert not (share == 1 and len(people.scores))


def test_the_fast_way_refuses_outputs_of_other_sizes() -> None:
    out0, out1 = _scene(1, shape=(64, 64))
    with pytest.raises(UsageError, match="cannot be grouped"):
        group_fast(out0, out1[:, :, :60], KEYPOINTS)


def _peaks(heatmaps: Floats, tags: Floats) -> Peaks:
    maps = in_whole_blocks(heatmaps)
    return find_peaks(
        maps, tags, np.concatenate([over_blocks(m[..., None], cv2.max) for m in maps])
    )


def _enlarged(maps: Floats, shape: tuple[int, ...]) -> Floats:
    return np.stack([cv2.resize(each, (shape[1], shape[0])) for each in maps])


def _scene(people: int, shape: tuple[int, int]) -> tuple[Floats, Floats]:
    """Outputs of a made-up net: Gaussian joints, a quarter of them too faint to be grouped."""
    random = np.random.default_rng(people)
    fine, coarse = (shape[0], shape[1]), (shape[0] // 2, shape[1] // 2)
    maps = [_noise(random, size, 0.01) for size in (coarse, fine)]
    tags = _noise(random, coarse, 1.0) - 20
    for person in range(people):
        middle = random.uniform(0.2, 0.8, 2) * fine
        for joint in range(KEYPOINTS):
            place = np.clip(middle + random.uniform(-20, 20, 2), 2, np.array(fine) - 3)
            height = (
                random.uniform(0.02, 0.09) if random.random() < 0.25 else random.uniform(0.3, 1)
            )
            for cells, scale in zip(maps, (2, 1), strict=True):
                rows, columns = np.indices(cells.shape[1:])
                squared = (rows - place[0] / scale) ** 2 + (columns - place[1] / scale) ** 2
                peak = (height * np.exp(-squared / 8)).astype(np.float32)
                if scale == 2:
                    near = (squared < 25) & (peak > cells[joint])
                    tags[joint][near] = 2 * person + random.normal(0, 0.05)
                cells[joint] = np.maximum(cells[joint], peak)
    return np.concatenate([maps[0], tags])[None], maps[1][None]


def _noise(random: np.random.Generator, size: tuple[int, int], scale: float) -> Floats:
    noise = random.normal(0, scale, (KEYPOINTS, *size)).astype(np.float32)
    return np.abs(np.stack([cv2.GaussianBlur(each, (0, 0), 2) for each in noise]))
