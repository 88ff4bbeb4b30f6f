"""This machine as a phone: adb's real client and server, and our device side without a sandbox."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgepose.devices.device import Device
from tests.emulation.phone_identity import SNAPDRAGON_865
from tests.emulation.phone_process import Daemon, daemon_command
from tests.emulation.ports import HOST


class PlainPhone:
    """Paths on it are paths here, and its programs are ours: quick, and no emulation needed.

    ``$PHONE`` in its shell is the name of its folder, to tell two of them apart.
    """

    def __init__(self, folder: Path) -> None:
        self._shell = ["/usr/bin/env", f"PHONE={folder.name}", "/bin/sh"]
        self._log = folder / "phone.log"
        self._daemon: Daemon | None = None
        self.port = 0

    @property
    def serial(self) -> str:
        return f"{HOST}:{self.port}"

    def start(self) -> None:
        """Plug it in, again at its port."""
        command = daemon_command(self.port, "/", SNAPDRAGON_865.banner(), self._shell)
        self._daemon = Daemon(command, self._log)
        assert self._daemon.port, self._log.read_text()
        self.port = self._daemon.port

    def stop(self) -> None:
        """It vanishes with everything that runs below it; what is detached goes on."""
        if self._daemon is not None:
            self._daemon.end()
            self._daemon = None

    def tell(self, **command: object) -> None:
        """See `phone_daemon`."""
        assert self._daemon is not None
        self._daemon.tell(**command)

    def device(self, **changes: object) -> Device:
        fields: dict[str, object] = {
            "name": "plain-phone",
            "target": "host",
            "transport": "adb",
            "serial": self.serial,
        }
        return Device(**{**fields, **changes})  # type: ignore[arg-type]


@contextmanager
def plain_phone(folder: Path) -> Iterator[PlainPhone]:
    folder.mkdir(parents=True, exist_ok=True)
    phone = PlainPhone(folder)
    phone.start()
    try:
        yield phone
    finally:
        phone.stop()
