"""The 1 € filter against the reference results."""

from pathlib import Path

import numpy as np
import pytest

from edgepose.pose.smooth import OneEuro


@pytest.mark.parametrize("settings", ["0.004_0.7", "1.7_0.3", "0.5_0.05"])
def test_the_filter_equals_the_original_code(shared_data: Path, settings: str) -> None:
    with np.load(shared_data / "reference" / "post_oneeuro.npz", allow_pickle=False) as data:
        values, times = data["seq"], data[f"ts_{settings}"]
        even, uneven = data[f"new_{settings}"], data[f"core_irregular_{settings}"]
    least, beta = map(float, settings.split("_"))
    steady, irregular = OneEuro(least, beta), OneEuro(least, beta)
    np.testing.assert_allclose([steady(value) for value in values], even, atol=1e-9)
    elapsed = np.diff(times, prepend=times[0] - 1)
    found = [irregular(*step) for step in zip(values, elapsed, strict=True)]
    np.testing.assert_allclose(found, uneven, atol=1e-9)


def test_a_resting_point_calms_down_and_a_jump_is_followed() -> None:
    random = np.random.default_rng(0)
    filtered = OneEuro(beta=0.01)
    noise = random.normal(0, 1, (200, 2))
    calm = np.array([filtered(each) for each in noise])
    assert calm[50:].std() < 0.3 * noise[50:].std()
    jump = [filtered(np.array([100.0, 100.0])) for _ in range(10)]
    assert np.abs(jump[-1] - 100).max() < 10
