"""Start a bundle's runner as a device would: a process of its own in a folder of its own."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from edgepose.bundle import RUNNER, Bundle, make_plan
from edgepose.files import sha256_file

Finished = subprocess.CompletedProcess[str]
Run = Callable[..., tuple[Finished, Path]]

QUICK = {"warmup_min": 3, "warmup_max": 3, "runs": 5}


def write_plan(bundle: Bundle, folder: Path, mode: str, **settings: Any) -> dict[str, Any]:
    """Write ``folder``/plan.json for the bundle's own files and return it as a dict."""
    paths = {name: str(bundle.folder / name) for name in bundle.manifest.files}
    plan = make_plan(bundle.manifest, mode, "run-7", paths, **QUICK | settings)
    (folder / "plan.json").write_bytes(plan.encode())
    content: dict[str, Any] = json.loads(plan.encode())
    return content


def start(
    runner: Path, *words: str | Path, python: Sequence[str] = (), **settings: Any
) -> Finished:
    """Run ``runner`` to its end with the interpreter's options ``python``."""
    command = [sys.executable, *python, str(runner), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **settings)


def reseal(folder: Path, name: str) -> None:
    """Make the manifest in ``folder`` agree with the file ``name``, as a forger would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = sha256_file(folder / name)
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A function (bundle, mode, **settings of the plan) to the ended process and its folder."""

    def run_it(bundle: Bundle, mode: str, **settings: Any) -> tuple[Finished, Path]:
        folder = tmp_path / "run"
        folder.mkdir()
        write_plan(bundle, folder, mode, **settings)
        return start(bundle.folder / RUNNER, folder), folder

    return run_it
