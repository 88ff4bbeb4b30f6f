"""A real OpenSSH server on loopback, run as the current user, with keys of its own."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from edgepose.devices.device import Device

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


class SshServer:
    """One listener; ``device()`` is how edgepose reaches it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user = getpass.getuser()
        self.port = _free_port()
        self.user_key = make_key(folder / "user_key")
        self.host_key = make_key(folder / "host_key")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        authorized = self.folder / "authorized_keys"
        authorized.write_text(self.user_key.with_name("user_key.pub").read_text())
        if os.geteuid() == 0:
            # Where sshd separates privileges; it refuses to start without the folder.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        config = self.folder / "sshd_config"
        config.write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {self.host_key}\n"
            f"AuthorizedKeysFile {authorized}\nPidFile none\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
            "AllowTcpForwarding yes\nMaxStartups 100\n"
        )
        log = str(self.folder / "sshd.log")
        self._process = subprocess.Popen([SSHD, "-D", "-E", log, "-f", str(config)])
        self._wait_until_it_listens()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def pinned(self) -> str:
        kind, data = Path(f"{self.host_key}.pub").read_text().split()[:2]
        return f"{kind} {data}"

    def device(self, **changes: object) -> Device:
        fields: dict[str, object] = {
            "name": "loopback",
            "target": "host",
            "transport": "ssh",
            "host": "127.0.0.1",
            "user": self.user,
            "port": self.port,
            "identity_file": str(self.user_key),
            "host_keys": (self.pinned(),),
        }
        return Device(**{**fields, **changes})  # type: ignore[arg-type]

    def _wait_until_it_listens(self) -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError((self.folder / "sshd.log").read_text())


def make_key(path: Path, kind: str = "ed25519") -> Path:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
