"""Devices that are really there: this machine, an OpenSSH server and a phone on loopback."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgepose.deadline import Deadline
from edgepose.devices.adb import AdbTransport
from edgepose.devices.local import LocalTransport
from edgepose.devices.ssh import SshTransport
from edgepose.devices.transport import Transport
from tests.devices.adb_phone import PlainPhone, plain_phone
from tests.devices.ssh_server import SshServer
from tests.emulation.phone_adb import ADB, AdbServer, running_adb_server


@pytest.fixture
def deadline() -> Deadline:
    """Far enough for a slow machine."""
    return Deadline.after(60)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of our own, so that the user's ~/.ssh plays no part."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return folder


@pytest.fixture
def ssh_transport(ssh_server: SshServer, home: Path) -> Iterator[SshTransport]:
    transport = SshTransport(ssh_server.device())
    yield transport
    transport.close()


@pytest.fixture(scope="session")
def session_adb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbServer]:
    if ADB is None:
        pytest.skip("adb is not installed")
    with running_adb_server(tmp_path_factory.mktemp("adb-home")) as server:
        yield server


@pytest.fixture
def adb_server(
    session_adb_server: AdbServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[AdbServer]:
    """A private adb server, which adb's client finds during the test; it knows no phone then."""
    for name, value in session_adb_server.environment.items():
        monkeypatch.setenv(name, value)
    yield session_adb_server
    session_adb_server.adb("disconnect")


@pytest.fixture
def adb_phone(
    adb_server: AdbServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PlainPhone]:
    with plain_phone(tmp_path_factory.mktemp("phone")) as phone:
        yield phone


@pytest.fixture
def adb_transport(adb_phone: PlainPhone) -> AdbTransport:
    return AdbTransport(adb_phone.device())


@pytest.fixture(params=["local", "ssh", "adb"])
def transport(request: pytest.FixtureRequest) -> Transport:
    if request.param == "local":
        return LocalTransport()
    found: Transport = request.getfixturevalue(f"{request.param}_transport")
    return found


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "small-disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "edgepose-test", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("a small file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
