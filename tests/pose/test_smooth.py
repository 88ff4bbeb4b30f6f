"""The 1 € filter against the reference results."""

from pathlib import Path

import numpy as np
import pytest

from edgepose.pose.smooth import OneEuro, OneEuroSettings


@pytest.mark.parametrize("settings", ["0.004_0.7", "1.7_0.3", "0.5_0.05"])
def test_the_filter_equals_the_original_code(shared_data: Path, settings: str) -> None:
    with np.load(shared_data / "reference" / "post_oneeuro.npz", allow_pickle=False) as data:
        values, times = data["seq"], data[f"ts_{settings}"]
        even, uneven = data[f"new_{settings}"], data[f"core_irregular_{settings}"]
    least, beta = map(float, settings.split("_"))
    steady, irregular = (OneEuro(OneEuroSettings(least, beta)) for _ in range(2))
    np.testing.assert_allclose([steady(value) for value in values], even, atol=1e-9)
    elapsed = np.diff(times, prepend=times[0] - 1)
    found = [irregular(*step) for step in zip(values, elapsed, strict=True)]
    np.testing.assert_allclose(found, uneven, atol=1e-9)


def test_the_older_filter_in_seconds_equals_the_original_code(shared_data: Path) -> None:
    """Its cut-offs are per second, its speed per frame: 30 times less."""
    with np.load(shared_data / "reference" / "post_oneeuro.npz", allow_pickle=False) as data:
        values, expected = data["seq"], data["old_fps30"]
    older = OneEuro(OneEuroSettings(1.7, 0.3 / 30, 30.0))
    found = [older(value, 1 / 30) for value in values]
    np.testing.assert_allclose(found[1:], expected, atol=1e-4)


def test_the_speed_of_a_whole_point_counts_as_in_the_tracker_of_mmdeploy(shared_data: Path) -> None:
    with np.load(shared_data / "reference" / "post_oneeuro.npz", allow_pickle=False) as data:
        values, expected = data["seq"], data["mmdeploy_formula_0.007_1_1"]
    tracker = OneEuro(OneEuroSettings(1.0, 0.007, 1.0, joint_speed=True))
    np.testing.assert_allclose([tracker(value) for value in values], expected, atol=1e-4)


def test_a_resting_point_calms_down_and_a_jump_is_followed() -> None:
    random = np.random.default_rng(0)
    filtered = OneEuro(OneEuroSettings(beta=0.01))
    noise = random.normal(0, 1, (200, 2))
    calm = np.array([filtered(each) for each in noise])
    assert calm[50:].std() < 0.3 * noise[50:].std()
    jump = [filtered(np.array([100.0, 100.0])) for _ in range(10)]
    assert np.abs(jump[-1] - 100).max() < 10
