"""The loopback board and phone for tests, and what happens where this machine cannot run one."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgepose.devices.device import Device
from edgepose.devices.host_keys import HostKey
from edgepose.devices.inventory import add_device
from edgepose.devices.setup import setup_device
from edgepose.errors import ToolchainError
from tests.emulation.board import Board, running_board
from tests.emulation.phone import Phone, running_phone
from tests.emulation.phone_adb import ADB, AdbServer, running_adb_server
from tests.emulation.requirements import EmulationError, missing_requirements
from tests.emulation.root import prepare_root

HERE = Path(__file__).parent
# Set where the boards must work (CI), so that a broken one is not taken for a missing one.
REQUIRE = "EDGEPOSE_REQUIRE_EMULATION"


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.emulation)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or fail where boards are required, and say why."""
    problem = emulation_problem()
    if problem and os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{REQUIRE}=1, but {problem}", pytrace=False)
    if problem:
        pytest.skip(problem)


@functools.cache
def emulation_problem() -> str | None:
    """What keeps a board from starting here; building the shared root is part of the answer."""
    missing = missing_requirements()
    if missing:
        return "; ".join(missing)
    try:
        prepare_root()
    except EmulationError as error:  # most often no network and no cached root
        return str(error)
    return None


@pytest.fixture(scope="session")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A Raspberry Pi 4 that all tests share: leave it running and as it was found."""
    with running_board(tmp_path_factory.mktemp("rpi4")) as board:
        yield board


@pytest.fixture(scope="session")
def equipped(board: Board, own_places: None) -> Board:
    """The board with the runtimes of its target, set up as `edgepose device setup` does it."""
    try:
        setup_device(entry(board))
    except ToolchainError as error:  # most often no network and no cached wheels
        if os.environ.get(REQUIRE) == "1":
            raise
        pytest.skip(str(error))
    return board


@pytest.fixture(scope="session")
def adb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbServer]:
    """A private adb server, which adb's client finds in all tests from now on."""
    if ADB is None:
        if os.environ.get(REQUIRE) == "1":
            pytest.fail(f"{REQUIRE}=1, but adb is not installed")
        pytest.skip("adb is not installed (package adb)")
    with (
        running_adb_server(tmp_path_factory.mktemp("adb-home")) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        name = "ANDROID_ADB_SERVER_PORT"
        patch.setenv(name, server.environment[name])
        yield server


@pytest.fixture(scope="session")
def phone(adb_server: AdbServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phone]:
    """A Snapdragon 865 that all tests share: leave it running and as it was found."""
    with running_phone(tmp_path_factory.mktemp("phone")) as phone:
        yield phone


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with an inventory and records of its own, both empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEPOSE_RECORDS", str(tmp_path / "records"))
    return tmp_path


@pytest.fixture
def emu(equipped: Board, workplace: Path) -> Board:
    """The equipped board, listed as device ``emu`` in the current folder."""
    add_device(entry(equipped))
    return equipped


def entry(board: Board, name: str = "emu", **changes: Any) -> Device:
    """``board`` as a device with its host key pinned."""
    fields = {
        "name": name,
        "target": "rpi4",
        "transport": "ssh",
        "host": board.host,
        "user": board.user,
        "port": board.port,
        "identity_file": str(board.identity_file),
        "emulated": True,
        "host_keys": (HostKey.parse(board.host_key).line,),
    }
    return Device(**{**fields, **changes})


def phone_entry(phone: Phone, name: str = "emu-phone", **changes: Any) -> Device:
    """``phone`` as a device."""
    fields = {
        "name": name,
        "target": "snapdragon-865",
        "transport": "adb",
        "serial": phone.serial,
        "emulated": True,
    }
    return Device(**{**fields, **changes})
