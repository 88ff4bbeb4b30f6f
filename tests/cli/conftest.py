"""The command line as users start it: a process of its own, in a folder of their own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgepose.bundle import Bundle
from tests.tiny_bundles import build_tiny

Finished = subprocess.CompletedProcess[str]
Edgepose = Callable[..., Finished]


@pytest.fixture
def edgepose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edgepose:
    """``edgepose("models", "--json")`` in an empty folder; what it printed and its exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEPOSE_RECORDS", str(tmp_path / "records"))

    def run(*words: str | Path) -> Finished:
        command = [sys.executable, "-m", "edgepose.cli.main", *map(str, words)]
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )

    return run


@pytest.fixture(scope="session")
def tiny(own_places: None, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A proven bundle for this machine that takes microseconds."""
    return build_tiny(tmp_path_factory.mktemp("tiny"))
