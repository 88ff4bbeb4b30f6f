"""The flip test: merged outputs are those of the reference, and of a mirrored picture."""

from pathlib import Path

import numpy as np
import pytest

from edgepose.pose.decode.flip import merged_with_flipped, unflipped
from edgepose.pose.keypoint_sets import keypoint_set
from edgepose.zoo import HeatmapDecoder, SimCCDecoder, model_spec

MIRRORED = keypoint_set(model_spec("rtmpose-t")).mirrored


@pytest.mark.parametrize("size", ["256x192", "384x288"])
def test_logits_of_a_mirrored_crop_are_turned_as_in_the_original_code(
    shared_data: Path, size: str
) -> None:
    with np.load(shared_data / "reference" / "post_simcc.npz", allow_pickle=False) as data:
        flipped = [data[f"{size}_dec_px"], data[f"{size}_dec_py"]]
        back = [data[f"{size}_flip_x"], data[f"{size}_flip_y"]]
    nothing = [np.zeros_like(each) for each in flipped]
    merged = merged_with_flipped(SimCCDecoder(), nothing, flipped, MIRRORED)
    np.testing.assert_allclose(merged[0] * 2, back[0])
    np.testing.assert_allclose(merged[1] * 2, back[1])


def test_left_and_right_trade_places_and_so_do_columns() -> None:
    maps = np.arange(17 * 2 * 3).reshape(1, 17, 2, 3)
    back = unflipped(maps, MIRRORED)
    np.testing.assert_array_equal(back[0, 5], maps[0, 6, :, ::-1])  # the shoulders
    np.testing.assert_array_equal(back[0, 0], maps[0, 0, :, ::-1])  # the nose
    np.testing.assert_array_equal(unflipped(back, MIRRORED), maps)


@pytest.mark.parametrize(("refine", "shift"), [("dark", 1), ("udp", 0)])
def test_a_cell_that_stands_at_its_first_pixel_moves_by_one_when_mirrored(
    refine: str, shift: int
) -> None:
    maps, nothing = np.zeros((2, 1, 1, 4, 9), np.float32)
    maps[0, 0, 2, 3] = 1
    (merged,) = merged_with_flipped(HeatmapDecoder(refine=refine), [nothing], [maps], [0])
    assert np.unravel_index(merged.argmax(), merged.shape)[2:] == (2, 8 - 3 + shift)
