import ast
import random
from pathlib import Path

import pytest

from edgepose.runners.python import warmup
from edgepose.runners.python.warmup import has_converged


def _noisy(count: int, level: float = 20e6, noise: float = 0.01, seed: int = 0) -> list[int]:
    draw = random.Random(seed)
    return [int(level * (1 + noise * draw.gauss(0, 1))) for _ in range(count)]


def test_fewer_than_forty_latencies_are_never_enough() -> None:
    assert not has_converged([])
    assert not has_converged([20_000_000] * 39)
    assert has_converged([20_000_000] * 40)


def test_only_the_last_forty_latencies_count() -> None:
    assert has_converged([900_000_000] * 50 + [20_000_000] * 40)


def test_latencies_that_still_fall_have_not_converged() -> None:
    assert not has_converged([int(20e6 * (1 + 2 * 0.95**i)) for i in range(60)])


def test_latencies_that_still_rise_have_not_converged() -> None:
    assert not has_converged([int(20e6 * (1 + 0.01 * i)) for i in range(60)])


def test_an_outlier_at_the_start_of_the_window_means_not_converged() -> None:
    steady = [20_000_000 + 1_000 * (i % 20) for i in range(40)]
    assert has_converged(steady)
    assert not has_converged([25_000_000, *steady[1:]])


def test_a_fast_first_latency_is_no_outlier() -> None:
    steady = [20_000_000 + 1_000 * (i % 20) for i in range(40)]
    assert has_converged([19_999_000, *steady[1:]])


def test_a_spread_that_changes_means_not_converged() -> None:
    calm = [20_000_000 + 1_000 * i for i in range(20)]
    wild = [20_000_000 + 3_000 * i for i in range(20)]
    assert not has_converged(calm + wild)


@pytest.mark.parametrize("noise", [0.001, 0.01, 0.1])
def test_steady_noise_converges_before_the_cap_of_300(noise: float) -> None:
    latencies = _noisy(300, noise=noise)
    assert any(has_converged(latencies[:count]) for count in range(50, 301, 10))


def test_latencies_of_zero_do_not_break_the_test() -> None:
    assert has_converged([0] * 40)
    assert not has_converged([5] * 20 + [0] * 20)


def test_warmup_is_python_3_6_and_needs_the_standard_library_only() -> None:
    tree = ast.parse(Path(warmup.__file__).read_text(), feature_version=(3, 6))
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert modules == ["typing"]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
