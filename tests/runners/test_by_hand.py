"""Somebody carries a bundle to a board and starts its runner: ``python3 runner.pyz FOLDER``."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgepose.bundle import RUNNER, Bundle
from tests.runners.conftest import reseal, start

TinyBundle = Callable[[str], Bundle]


@pytest.fixture
def folder(tiny_bundle: TinyBundle, tmp_path: Path) -> Path:
    copied = shutil.copytree(tiny_bundle("onnxruntime-fp32").folder, tmp_path / "carried")
    return Path(copied)


@pytest.mark.parametrize("recipe", ["onnxruntime-fp32", "ncnn-fp32"])
def test_a_bundle_started_by_hand_prints_its_proof_and_its_median(
    tiny_bundle: TinyBundle, tmp_path: Path, recipe: str
) -> None:
    shutil.copytree(tiny_bundle(recipe).folder, tmp_path / "carried")
    before = sorted(tmp_path.rglob("*"))
    done = start(Path(RUNNER), ".", cwd=tmp_path / "carried")
    assert done.returncode == 0, done.stderr
    proof, timing = done.stdout.splitlines()
    assert re.fullmatch(r"proof passed in tensor space on [1-9]\d* outputs", proof)
    figures = re.fullmatch(r"median (\S+) ms, min (\S+) ms, n 200, 1 process", timing)
    assert figures
    assert float(figures[1]) >= float(figures[2]) > 0
    assert sorted(tmp_path.rglob("*")) == before


def test_golden_outputs_that_were_forged_consistently_end_with_14(folder: Path) -> None:
    name = next(iter(json.loads((folder / "manifest.json").read_text())["golden"]))["outputs"]
    (path,) = name.values()
    np.save(folder / path, np.load(folder / path) + 1)
    reseal(folder, path)
    done = start(folder / RUNNER, folder)
    assert done.returncode == 14, done.stderr
    assert "proof FAILED" in done.stdout
    assert re.search(r"max relative error \S+ exceeds 0.0001", done.stdout)
    assert "median" not in done.stdout


def test_a_damaged_file_ends_with_11(folder: Path) -> None:
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"\0")
    done = start(folder / RUNNER, folder)
    assert done.returncode == 11
    assert "model.onnx is corrupt" in done.stderr


def test_a_python_without_numpy_ends_with_12(folder: Path) -> None:
    done = start(folder / RUNNER, folder, python=["-I", "-S"])
    assert done.returncode == 12
    assert "numpy cannot be imported" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_artifact_that_does_not_load_ends_with_13(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"no net")
    reseal(folder, "model.onnx")
    assert start(folder / RUNNER, folder).returncode == 13


def test_a_golden_input_of_the_wrong_shape_ends_with_15(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (path,) = manifest["golden"][0]["inputs"].values()
    np.save(folder / path, np.zeros((1, 3, 8, 8), np.float32))
    reseal(folder, path)
    assert start(folder / RUNNER, folder).returncode == 15


@pytest.mark.parametrize("name", ["empty", "absent"])
def test_a_folder_that_is_no_bundle_ends_with_10(
    tiny_bundle: TinyBundle, tmp_path: Path, name: str
) -> None:
    (tmp_path / "empty").mkdir()
    done = start(tiny_bundle("onnxruntime-fp32").folder / RUNNER, tmp_path / name)
    assert done.returncode == 10
    assert "neither a run nor a bundle" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_runner_says_how_it_is_used(folder: Path) -> None:
    done = start(folder / RUNNER)
    assert done.returncode == 2
    assert "usage" in done.stderr
