"""Real bundles for this machine, and a folder of one's own to bench them in."""

from pathlib import Path

import pytest

from edgepose.bundle import Bundle
from tests.own_cache import own_cache
from tests.tiny_bundles import build_tiny


@pytest.fixture(scope="session")
def tiny(own_places: None, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Takes microseconds."""
    return build_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def slow(own_places: None, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Takes about 10 ms, so that a run lasts for seconds and can be disturbed."""
    return build_tiny(tmp_path_factory.mktemp("slow"), "slow", channels=640)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder; inventory, records and what this host remembers start empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEPOSE_RECORDS", str(tmp_path / "records"))
    monkeypatch.setenv("EDGEPOSE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("EDGEPOSE_CACHE", own_cache(tmp_path / "cache"))
    return tmp_path
