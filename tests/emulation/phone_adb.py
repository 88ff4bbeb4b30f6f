"""A private adb server: Debian's real one, on a port and with a home folder of its own."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.emulation.ports import free_port

ADB = shutil.which("adb")


class AdbServer:
    """``environment`` leads adb's client to it, in this process or in another one."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.environment = {
            "ANDROID_ADB_SERVER_PORT": str(free_port()),
            "HOME": str(folder),  # for the keys, which belong to the server
        }

    def adb(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run adb's client; its exit status speaks for itself."""
        return subprocess.run(
            [ADB or "adb", *words],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def start(self) -> None:
        self.adb("start-server").check_returncode()

    def kill(self) -> None:
        """End the server, which forgets every phone that it was told to connect to."""
        self.adb("kill-server")


@contextlib.contextmanager
def running_adb_server(folder: Path) -> Iterator[AdbServer]:
    server = AdbServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
