"""Somebody carries a bundle to a board and starts its runner with the folder as its argument."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgepose.bundle import Bundle
from edgepose.runners.pack import PYTHON_RUNNER
from tests.runners.conftest import reseal, runner_of, start


@pytest.fixture
def carried(bundle: Bundle, tmp_path: Path) -> Bundle:
    """A copy of the bundle, as somebody carried it to a board."""
    shutil.copytree(bundle.folder, tmp_path / "carried")
    return Bundle(tmp_path / "carried", bundle.manifest)


@pytest.fixture
def python_carried(carried: Bundle) -> Bundle:
    if carried.manifest.runner != PYTHON_RUNNER:
        pytest.skip("the native runner imports nothing")
    return carried


def test_a_bundle_started_by_hand_prints_its_proof_and_its_median(
    carried: Bundle, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    done = start(carried.folder / carried.manifest.runner, ".", cwd=carried.folder)
    assert done.returncode == 0, done.stderr
    proof, timing = done.stdout.splitlines()
    said = ", computed in fp32" if carried.manifest.recipe.engine == "openvino" else ""
    assert re.fullmatch(rf"proof passed in tensor space on [1-9]\d* outputs{said}", proof)
    figures = re.fullmatch(r"median (\S+) ms, min (\S+) ms, n 200, 1 process.*", timing)
    assert figures
    assert float(figures[1]) >= float(figures[2]) > 0
    assert sorted(tmp_path.rglob("*")) == before


def test_golden_outputs_that_were_forged_consistently_end_with_14(carried: Bundle) -> None:
    (path,) = carried.manifest.golden[0].outputs.values()
    np.save(carried.folder / path, np.load(carried.folder / path) + 1)
    reseal(carried.folder, path)
    done = start(runner_of(carried), carried.folder)
    assert done.returncode == 14, done.stderr
    assert "proof FAILED" in done.stdout
    limit = carried.manifest.recipe.gates.tensor.max_relative_error
    assert re.search(rf"max relative error \S+ exceeds {limit:g}", done.stdout)
    assert "median" not in done.stdout


def test_a_damaged_file_ends_with_11(carried: Bundle) -> None:
    name = carried.manifest.artifact.files[0]
    with (carried.folder / name).open("ab") as file:
        file.write(b"\0")
    done = start(runner_of(carried), carried.folder)
    assert done.returncode == 11
    assert f"{name} is corrupt" in done.stderr


def test_a_python_without_numpy_ends_with_12(python_carried: Bundle) -> None:
    done = start(runner_of(python_carried), python_carried.folder, python=["-I", "-S"])
    assert done.returncode == 12
    assert "numpy cannot be imported" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_artifact_that_does_not_load_ends_with_13(carried: Bundle) -> None:
    name = carried.manifest.artifact.files[0]
    (carried.folder / name).write_bytes(b"no net")
    reseal(carried.folder, name)
    assert start(runner_of(carried), carried.folder).returncode == 13


def test_a_golden_input_of_the_wrong_shape_ends_with_15(carried: Bundle) -> None:
    (path,) = carried.manifest.golden[0].inputs.values()
    np.save(carried.folder / path, np.zeros((1, 3, 8, 8), np.float32))
    reseal(carried.folder, path)
    assert start(runner_of(carried), carried.folder).returncode == 15


@pytest.mark.parametrize("name", ["empty", "absent"])
def test_a_folder_that_is_no_bundle_ends_with_10(bundle: Bundle, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    done = start(runner_of(bundle), tmp_path / name)
    assert done.returncode == 10
    assert "neither a run nor a bundle" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_runner_says_how_it_is_used(bundle: Bundle) -> None:
    done = start(runner_of(bundle))
    assert done.returncode == 2
    assert "usage" in done.stderr
