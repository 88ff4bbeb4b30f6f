"""A build that is killed at any moment leaves no half-written bundle, and the next one works."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import edgepose
from edgepose.build import build
from edgepose.bundle import load_bundle
from tests.own_cache import own_cache
from tests.tiny_nets import save_heatmap_net

ROOT = Path(edgepose.__file__).parent.parent
CODE = """
import logging, sys
import edgepose
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
edgepose.build("net.onnx", into="made", force=True)
"""
Moment = Callable[[subprocess.Popen[bytes], Path], object]


def says(word: bytes) -> Moment:
    def read_until(builder: subprocess.Popen[bytes], project: Path) -> None:
        assert builder.stderr
        assert any(word in line for line in builder.stderr), f"it never said {word!r}"

    return read_until


def makes(pattern: str) -> Moment:
    def watch(builder: subprocess.Popen[bytes], project: Path) -> None:
        while builder.poll() is None and not any(project.glob(pattern)):
            pass

    return watch


MOMENTS: dict[str, Moment] = {
    "preparing": says(b"preparing"),
    "writing the graph": makes("cache/graphs/.*/model.onnx"),
    "the graph is cached": makes("cache/graphs/*/prepared.json"),
    "compiling": says(b"compiling"),
    "proving": says(b"proving"),
    "sealed, not proven": makes("cache/bundles/.*/manifest.json"),
    "the bundle is cached": makes("cache/bundles/[!.]*/manifest.json"),
    "copying": makes(".made.*/*"),
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEPOSE_CACHE", own_cache(tmp_path / "cache"))
    save_heatmap_net(tmp_path / "net.onnx", channels=400)
    return tmp_path


@contextmanager
def builder() -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", CODE]
    with subprocess.Popen(words, stderr=subprocess.PIPE, env=environment) as process:
        yield process
        process.kill()


def kill_at(moment: str, project: Path) -> None:
    """Start builds until one could be killed at that moment: a copy may be too quick to see."""
    for _ in range(10):
        with builder() as process:
            MOMENTS[moment](process, project)
        if process.returncode == -9:
            return
    raise AssertionError(f"no build could be killed at {moment!r}")


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_build_leaves_nothing_or_a_whole_bundle(project: Path, moment: str) -> None:
    kill_at(moment, project)
    if (project / "made").exists():
        load_bundle(project / "made")
    bundle = build("net.onnx", into="made")
    assert bundle.manifest.proof.passed
    assert load_bundle("made").manifest == bundle.manifest
