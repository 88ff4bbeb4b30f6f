"""Fixtures that every test may use."""

import os
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import hypothesis
import pytest

from edgepose.build import build
from edgepose.bundle import Bundle
from tests.devices.ssh_server import SSHD, SshServer
from tests.own_cache import own_cache
from tests.tiny_nets import HEATMAP_TOML, save_heatmap_net

ROOT = Path(__file__).parent.parent

# A machine under load is slow now and then: no bug that an example could show.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real images, real weights and reference outputs, which are not part of the project."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"reference data is absent: no folder {folder}")
    return folder


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A real sshd on loopback, one for all tests."""
    if not os.access(SSHD, os.X_OK):
        pytest.skip("OpenSSH's sshd is not installed")
    server = SshServer(tmp_path_factory.mktemp("sshd"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """In a shell's background tests ignore SIGINT, and so would whatever they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def own_places(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what is the user's own out of the tests, and the tests out of it.

    Only what ``own_cache`` shares is built in the user's cache, once per machine.
    """
    patch = pytest.MonkeyPatch()
    patch.setenv("EDGEPOSE_CONFIG", str(tmp_path_factory.mktemp("config")))
    patch.setenv("EDGEPOSE_DATA", str(tmp_path_factory.mktemp("data")))
    patch.setenv("EDGEPOSE_CACHE", own_cache(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """A function from a recipe's name to a small net's proven bundle; alter only copies of it."""
    folder = tmp_path_factory.mktemp("tiny")
    net = save_heatmap_net(folder / "tiny.onnx")
    net.with_suffix(".toml").write_text(HEATMAP_TOML)

    @cache
    def bundle(recipe: str) -> Bundle:
        return build(str(net), recipe=recipe, into=folder / recipe)

    return bundle
