"""The native runner computes what the Python one does: drift, hashes, the rule of the warm-up."""

import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import edgepose.runners
from edgepose.bundle import Bundle
from edgepose.files import sha256_file
from edgepose.runners.python.tensor_drift import tensor_drift
from edgepose.runners.python.warmup import has_converged
from tests.runners.conftest import assert_fails, lines_of, runner_of, start, write_plan

FIGURES = ("max_relative_error", "mean_relative_error", "cosine")
NATIVE = Path(edgepose.runners.__file__).parent / "native"
values = st.floats(-1e6, 1e6, width=32)


def prove_against(
    native: Bundle, folder: Path, golden: np.ndarray[Any, Any]
) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    """The line of a proof against ``golden`` instead of the bundle's own, and what was output."""
    plan = write_plan(native, folder, "prove", runs=0)
    case = plan["golden"][0]
    path = folder / "wanted.npy"
    np.save(path, golden)
    case["outputs"] = dict.fromkeys(case["outputs"], str(path))
    plan |= {"golden": [case], "sha256": {}}
    (folder / "plan.json").write_text(json.dumps(plan))
    done = start(runner_of(native), folder)
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in lines_of(folder) if line["kind"] == "proof")
    return line, np.load(folder / line["file"])


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(golden=arrays(np.float32, (1, 3, 16, 12), elements=values))
def test_drift_has_the_same_figures(
    native: Bundle, tmp_path: Path, golden: np.ndarray[Any, Any]
) -> None:
    line, output = prove_against(native, tmp_path, golden)
    expected = tensor_drift(golden, output)
    assert line["finite"] is True
    for figure in FIGURES:
        assert line[figure] == pytest.approx(expected[figure], rel=1e-9, abs=1e-12)


def test_drift_from_zeros_has_the_same_figures(native: Bundle, tmp_path: Path) -> None:
    golden = np.zeros((1, 3, 16, 12), np.float32)
    line, output = prove_against(native, tmp_path, golden)
    expected = tensor_drift(golden, output)
    assert {figure: line[figure] for figure in FIGURES} == pytest.approx(
        {figure: expected[figure] for figure in FIGURES}, rel=1e-9
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_not_finite_have_no_figures(
    native: Bundle, tmp_path: Path, value: float
) -> None:
    plan = write_plan(native, tmp_path, "prove")
    weights = Path(plan["artifact"]["model.ncnn.bin"])
    poisoned = tmp_path / "weights"
    # The last weight: a rectifier further up would take NaN for zero.
    poisoned.write_bytes(weights.read_bytes()[:-4] + np.float32(value).tobytes())
    plan["artifact"]["model.ncnn.bin"] = str(poisoned)
    plan |= {"golden": plan["golden"][:1], "sha256": {}}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert start(runner_of(native), tmp_path).returncode == 0
    (line,) = (line for line in lines_of(tmp_path) if line["kind"] == "proof")
    assert line["finite"] is False
    assert [line[figure] for figure in FIGURES] == [None] * 3


def test_golden_outputs_of_another_size_end_with_15(native: Bundle, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="576 values where 3 were expected"):
        prove_against(native, tmp_path, np.zeros((1, 3), np.float32))


def test_hashes_are_right_at_every_length_around_its_blocks(native: Bundle, tmp_path: Path) -> None:
    plan = write_plan(native, tmp_path, "time")
    draw = random.Random(0)
    for length in (*range(200), 65_535, 65_536, 65_537, 200_000):
        path = tmp_path / f"file-{length}"
        path.write_bytes(draw.randbytes(length))
        plan["sha256"][str(path)] = sha256_file(path)
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert start(runner_of(native), tmp_path).returncode == 0
    victim = tmp_path / "file-55"
    victim.write_bytes(victim.read_bytes()[:-1])
    assert_fails(start(runner_of(native), tmp_path), tmp_path, 11, "file-55 is corrupt")


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("g++")
    if not compiler:
        pytest.skip("g++ is not installed")
    program = tmp_path_factory.mktemp("probe") / "probe"
    sources = [str(Path(__file__).parent / "warmup_probe.cpp"), str(NATIVE / "warmup.cpp")]
    words = [compiler, "-std=c++17", "-O1", f"-I{NATIVE}", *sources, "-o", str(program)]
    subprocess.run(words, check=True)
    return program


def converged(probe: Path, sequences: list[list[int]]) -> list[bool]:
    text = "".join(" ".join(map(str, sequence)) + "\n" for sequence in sequences)
    done = subprocess.run([probe], input=text, capture_output=True, text=True, check=True)
    return [line == "1" for line in done.stdout.splitlines()]


def steady(draw: random.Random, noise: float, trend: float) -> list[int]:
    count = draw.randrange(38, 60)
    return [
        round(20e6 * (1 + noise * draw.gauss(0, 1) + trend * index / count))
        for index in range(count)
    ]


def test_the_warm_up_rule_judges_thousands_of_sequences_alike(probe: Path) -> None:
    draw = random.Random(7)
    sequences = [
        steady(draw, draw.choice([0, 1e-4, 0.01, 0.05, 0.3]), draw.choice([0, 0, 0.02, 0.5, -0.5]))
        for _ in range(5000)
    ]
    expected = [has_converged(sequence) for sequence in sequences]
    assert 500 < sum(expected) < 4500
    assert converged(probe, sequences) == expected


@settings(max_examples=50, deadline=None)
@given(sequences=st.lists(st.lists(st.integers(0, 50), min_size=30, max_size=45), min_size=1))
def test_the_warm_up_rule_judges_ties_and_zeros_alike(
    probe: Path, sequences: list[list[int]]
) -> None:
    assert converged(probe, sequences) == [has_converged(sequence) for sequence in sequences]


def test_a_real_warm_up_stops_where_the_rule_says(native: Bundle, tmp_path: Path) -> None:
    write_plan(native, tmp_path, "time", warmup_min=40, warmup_max=200)
    assert start(runner_of(native), tmp_path).returncode == 0
    warmup = next(line for line in lines_of(tmp_path) if line["kind"] == "warmup")
    lengths = range(40, len(warmup["ns"]) + 1, 10)
    verdicts = [has_converged(warmup["ns"][:length]) for length in lengths]
    assert not any(verdicts[:-1])
    assert verdicts[-1] == warmup["converged"]
    assert warmup["converged"] or len(warmup["ns"]) == 200
