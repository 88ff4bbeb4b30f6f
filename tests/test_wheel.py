"""What a user gets from the wheel, without the source tree."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import edgepose
from edgepose.recipes import list_recipes
from edgepose.targets import list_targets
from edgepose.zoo import list_models

ROOT = Path(edgepose.__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    words = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    done = subprocess.run([*words, str(ROOT)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def from_wheel(unpacked: Path, cwd: Path, code: str) -> str:
    """What ``code`` prints in a Python that finds edgepose in the unpacked wheel only."""
    first = "import edgepose, models_src, os\n"
    for name in ("edgepose", "models_src"):
        first += f"assert {name}.__file__.startswith({str(unpacked)!r} + os.sep), {name}.__file__\n"
    done = subprocess.run(
        [sys.executable, "-P", "-c", first + code],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(unpacked)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_the_licence_and_no_test(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (licence,) = [name for name in names if name.endswith("LICENSE")]
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
    roots = {name.split("/")[0] for name in names}
    assert roots == {"edgepose", "models_src", f"edgepose-{edgepose.__version__}.dist-info"}
    parts = {part for name in names for part in name.split("/")}
    assert not [part for part in parts if part == "tests" or part.startswith(("test_", "conftest"))]
    assert not {part for part in parts if part == "__pycache__" or part.endswith((".pyc", ".onnx"))}


def test_the_wheel_holds_the_page_of_serve(wheel: Path) -> None:
    page = ROOT / "edgepose" / "serve" / "page"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"edgepose/serve/page/{path.name}" for path in page.iterdir()} <= names


def test_an_installed_edgepose_lists_what_the_source_tree_lists(
    unpacked: Path, tmp_path: Path
) -> None:
    code = (
        "import json\n"
        "from edgepose.recipes import list_recipes\n"
        "from edgepose.targets import list_targets\n"
        "print(json.dumps([edgepose.list_models(), list_targets(), list_recipes()]))"
    )
    found = json.loads(from_wheel(unpacked, tmp_path, code))
    assert found == [list_models(), list_targets(), list_recipes()]
    assert all(found)


def test_an_installed_edgepose_builds_and_proves_a_zoo_model(
    unpacked: Path, tmp_path: Path
) -> None:
    code = (
        "bundle = edgepose.build('rtmpose-t', into='made')\n"
        "print(bundle.manifest.proof.passed, bundle.manifest.git_commit)\n"
        "from edgepose.bundle import verify\n"
        "print(verify(edgepose.load_bundle('made')).passed)"
    )
    assert from_wheel(unpacked, tmp_path, code).split() == ["True", "None", "True"]


def test_the_public_names_stay_what_they_are_whatever_was_imported(
    unpacked: Path, tmp_path: Path
) -> None:
    code = (
        "import importlib, types\n"
        "names = [name for name in edgepose.__all__ if name != '__version__']\n"
        "before = [getattr(edgepose, name) for name in names]\n"
        "importlib.import_module('edgepose.build')\n"
        "importlib.import_module('edgepose.bench.session')\n"
        "from edgepose import bench, build\n"
        "assert not isinstance(build, types.ModuleType), build\n"
        "assert not isinstance(bench, types.ModuleType), bench\n"
        "assert before == [getattr(edgepose, name) for name in names]\n"
        "print(len(names))"
    )
    assert int(from_wheel(unpacked, tmp_path, code)) >= 7
