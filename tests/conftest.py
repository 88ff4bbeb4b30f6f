"""Fixtures that every test may use."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real images, real weights and reference outputs, which are not part of the project."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"reference data is absent: no folder {folder}")
    return folder


@pytest.fixture(autouse=True, scope="session")
def own_places(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the user's own configuration and cache out of the tests, and the tests out of them."""
    patch = pytest.MonkeyPatch()
    patch.setenv("EDGEPOSE_CONFIG", str(tmp_path_factory.mktemp("config")))
    patch.setenv("EDGEPOSE_CACHE", str(tmp_path_factory.mktemp("cache")))
