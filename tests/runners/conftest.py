"""Start a bundle's runner as a device would: a process of its own in a folder of its own."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgepose.bundle import Bundle, make_plan
from edgepose.files import sha256_file
from edgepose.runners.pack import PYTHON_RUNNER, python_runner
from tests.tiny_bundles import build_tiny

Finished = subprocess.CompletedProcess[str]
Run = Callable[..., tuple[Finished, Path]]

# Every runner that speaks the protocol, with the recipe of a bundle for it.
RUNNERS = {
    "python-onnxruntime": "onnxruntime-fp32",
    "python-openvino": "openvino-fp32",
    "python-ncnn": "ncnn-fp32",
    "native-ncnn": "ncnn-fp32",
    "native-tvm": "tvm-autoscheduler",
}
QUICK = {"warmup_min": 3, "warmup_max": 3, "runs": 5}


def write_plan(bundle: Bundle, folder: Path, mode: str, **settings: Any) -> dict[str, Any]:
    """Write ``folder``/plan.json for the bundle's own files and return it as a dict."""
    paths = {name: str(bundle.folder / name) for name in bundle.manifest.files}
    plan = make_plan(bundle.manifest, mode, "run-7", paths, **QUICK | settings)
    (folder / "plan.json").write_bytes(plan.encode())
    content: dict[str, Any] = json.loads(plan.encode())
    return content


def command_of(runner: Path, *words: str | Path, python: Sequence[str] = ()) -> list[str]:
    """What starts ``runner``; the Python one with the interpreter's options ``python``."""
    interpreter = [sys.executable, *python] if runner.name == PYTHON_RUNNER else []
    return [*interpreter, str(runner), *map(str, words)]


def start(
    runner: Path, *words: str | Path, python: Sequence[str] = (), **settings: Any
) -> Finished:
    """Run ``runner`` to its end."""
    command = command_of(runner, *words, python=python)
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="backslashreplace",  # a message may quote what is not UTF-8
        timeout=120,
        **settings,
    )


def runner_of(bundle: Bundle) -> Path:
    return bundle.folder / bundle.manifest.runner


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "result.jsonl").read_bytes().splitlines()]


def assert_fails(done: Finished, folder: Path, code: int, message: str) -> None:
    """The process says so, and so does the whole and valid result, with an error line."""
    assert done.returncode == code, done.stderr
    *_, error, footer = lines_of(folder)
    assert (error["kind"], error["code"], footer["kind"]) == ("error", code, "footer")
    assert message in error["message"]
    assert message in done.stderr


def reseal(folder: Path, name: str) -> None:
    """Make the manifest in ``folder`` agree with the file ``name``, as a forger would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = sha256_file(folder / name)
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture(params=RUNNERS)
def bundle(
    request: pytest.FixtureRequest,
    tiny_bundle: Callable[[str], Bundle],
    tmp_path_factory: pytest.TempPathFactory,
) -> Bundle:
    """A small net's bundle for each runner; alter only copies of it."""
    if request.param == "native-tvm" and find_spec("tvm") is None:
        pytest.skip("tvm is not installed")
    built = tiny_bundle(RUNNERS[request.param])
    if request.param == "python-ncnn":
        return with_python_runner(built, tmp_path_factory.mktemp(request.param) / "bundle")
    assert (built.manifest.runner == "runner") == request.param.startswith("native")
    return built


@pytest.fixture
def native(tiny_bundle: Callable[[str], Bundle]) -> Bundle:
    """The small net's bundle for the native runner."""
    return tiny_bundle("ncnn-fp32")


@pytest.fixture(scope="session")
def tiny_tvm_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """A function from a target's name to the small net as TVM compiles it for that, untuned."""
    folder = tmp_path_factory.mktemp("tiny-tvm")

    @cache
    def bundle(target: str) -> Bundle:
        return build_tiny(folder, target, target=target, recipe="tvm-autoscheduler")

    return bundle


def with_python_runner(bundle: Bundle, folder: Path) -> Bundle:
    """The bundle as a host without a C++ compiler would have built it."""
    shutil.copytree(bundle.folder, folder)
    name, content = python_runner()
    (folder / name).write_bytes(content)
    return Bundle(folder, msgspec.structs.replace(bundle.manifest, runner=name))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A function (bundle, mode, **settings of the plan) to the ended process and its folder."""

    def run_it(bundle: Bundle, mode: str, **settings: Any) -> tuple[Finished, Path]:
        folder = tmp_path / "run"
        folder.mkdir()
        write_plan(bundle, folder, mode, **settings)
        return start(runner_of(bundle), folder), folder

    return run_it
