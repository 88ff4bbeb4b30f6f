"""Start, break and stop an emulated phone: the API for tests and for scripts/emulated-phone.

A double of a phone: adb's client and server, the protocol and the arm64 programs are real, the
device's side of the protocol and Android's own tools are stood in for by ours.
"""

import contextlib
import fcntl
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tests.emulation.identity import write_file
from tests.emulation.phone_identity import (
    COMMANDS,
    SNAPDRAGON_865,
    PhoneIdentity,
    battery_text,
    thermal_text,
)
from tests.emulation.phone_process import Daemon
from tests.emulation.phone_sandbox import PhoneScratch, phone_command
from tests.emulation.ports import HOST, free_port
from tests.emulation.requirements import EmulationError, enable_binfmt
from tests.emulation.root import prepare_root

PORT_ATTEMPTS = 5


def _files_below(machine: Path, folder: str) -> list[str]:
    found = (machine / folder).rglob("*")
    return [str(path.relative_to(machine)) for path in found if path.is_file()]


class Phone:
    """An emulated phone. Its scratch folder keeps what a phone keeps while it is off."""

    def __init__(
        self,
        identity: PhoneIdentity,
        scratch: Path,
        *,
        port: int | None = None,
        data_size_mib: int | None = None,
    ) -> None:
        self.identity = identity
        self.scratch = scratch.resolve()
        self._places = PhoneScratch(self.scratch)
        self._data_size_mib = data_size_mib
        self._wanted_port = port
        self._daemon: Daemon | None = None
        self._lock: IO[str] | None = None
        for folder in (self._places.data, self._places.sdcard, self._places.machine):
            folder.mkdir(parents=True, exist_ok=True)
        remembered = self.scratch / "port"
        self.port = port or (int(remembered.read_text()) if remembered.is_file() else free_port())

    @property
    def serial(self) -> str:
        """What `adb connect` takes and `adb devices` shows."""
        return f"{HOST}:{self.port}"

    @property
    def running(self) -> bool:
        return self._daemon is not None and self._daemon.running

    @property
    def log(self) -> str:
        """What the daemon complained of so far."""
        return (self.scratch / "log").read_text(errors="replace")

    def power_on(self) -> None:
        """Switch it on, again on its port; with a boot id of its own, as Linux has."""
        if self.running:
            return
        root = prepare_root()
        # A second phone on the same scratch would take the first one's files from under it.
        self._lock = self._take_lock()
        self._write_machine_files()
        self._write("proc/boot_id", f"{uuid.uuid4()}\n")
        for _ in range(PORT_ATTEMPTS):
            command = phone_command(
                self.identity, root, self._places, self.port, self._data_size_mib
            )
            self._daemon = Daemon(command, self.scratch / "log")
            if self._daemon.port:
                (self.scratch / "port").write_text(f"{self.port}\n")
                return
            if self._wanted_port is not None:
                break
            # somebody else took the port between our look and the daemon's bind
            self.port = free_port()
        self.power_off()
        raise EmulationError(f"{self.identity.name} did not start:\n{self.log}")

    @property
    def pid(self) -> int | None:
        """The host's pid of the whole phone; None while it is off."""
        return self._daemon.process.pid if self.running and self._daemon else None

    def reset(self) -> None:
        """Undo what a test set: properties, services, settings and files of the system."""
        self._write_machine_files()

    def power_off(self) -> None:
        """Everything on it ends at once, and it vanishes from adb's sight."""
        if self._daemon is not None:
            self._daemon.end()
            self._daemon = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def reboot(self) -> None:
        self.power_off()
        self.power_on()

    def wait(self) -> None:
        """Wait until it is off, which in itself never happens."""
        if self._daemon is not None:
            self._daemon.process.wait()

    def kill_sessions(self) -> None:
        """Pull the cable for a moment: commands hear a hang-up, what is detached goes on."""
        self._tell(cut=True)

    def set_authorized(self, authorized: bool) -> None:
        """Whether the phone's user has accepted the host's key; takes the cable out and in."""
        self._tell(authorized=authorized, cut=not authorized)

    def set_state(self, state: str) -> None:
        """`device`, `recovery` or `sideload`; takes the cable out and in."""
        self._tell(banner=self.identity.banner(state), cut=True)

    def set_property(self, name: str, value: str) -> None:
        """What `getprop` says from now on."""
        self._write(f"vendor/properties/{name}", f"{value}\n" if value else "")

    def set_service(self, name: str, text: str) -> None:
        """What `dumpsys NAME` prints from now on."""
        self._write(f"vendor/services/{name}", text)

    def set_setting(self, namespace: str, name: str, value: str) -> None:
        """What `settings get NAMESPACE NAME` prints from now on."""
        self._write(f"vendor/settings/{namespace}/{name}", f"{value}\n")

    def set_battery(self, level: int, *, charging: bool) -> None:
        self.set_service("battery", battery_text(level, charging))

    def set_thermal_status(self, status: int) -> None:
        """0 is none, 3 severe, 6 shutdown."""
        self.set_service("thermalservice", thermal_text(status))

    def write_machine_file(self, path: str, text: str) -> None:
        """Change a file below /sys, path without leading `/`."""
        self._write(path, text)

    def _take_lock(self) -> IO[str]:
        lock = (self.scratch / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise EmulationError(f"a phone already uses {self.scratch}") from None
        return lock

    def _tell(self, **command: object) -> None:
        if self._daemon is None:
            raise EmulationError(f"{self.identity.name} is switched off")
        self._daemon.tell(**command)

    def _write(self, path: str, text: str) -> None:
        write_file(self._places.machine / path, text)

    def _write_machine_files(self) -> None:
        """Properties and the rest as they are after a start; what a test changed is undone."""
        identity = self.identity
        texts = {
            **identity.files,
            **{f"vendor/properties/{name}": f"{v}\n" for name, v in identity.properties.items()},
            **{f"vendor/services/{name}": text for name, text in identity.services.items()},
            **{f"vendor/settings/{name}": f"{v}\n" for name, v in identity.settings.items()},
            **{f"system/bin/{name}": text for name, text in COMMANDS.items()},
            "proc/cpuinfo": identity.cpuinfo,
        }
        for added in set(_files_below(self._places.machine, "vendor")) - set(texts):
            (self._places.machine / added).unlink()
        for path, text in texts.items():
            self._write(path, text)
        for name in COMMANDS:
            (self._places.machine / "system/bin" / name).chmod(0o755)
        shell = self._places.machine / "system/bin/sh"
        if not shell.is_symlink():
            shell.symlink_to("/bin/sh")


def start_phone(
    scratch: Path,
    identity: PhoneIdentity = SNAPDRAGON_865,
    *,
    port: int | None = None,
    data_size_mib: int | None = None,
) -> Phone:
    """Start a phone whose state lives in `scratch`; the same scratch is the same phone again.

    `data_size_mib` gives it a small /data/local/tmp, for tests of a full disk (no root needed).
    """
    enable_binfmt()
    phone = Phone(identity, scratch, port=port, data_size_mib=data_size_mib)
    phone.power_on()
    return phone


@contextlib.contextmanager
def running_phone(
    scratch: Path,
    identity: PhoneIdentity = SNAPDRAGON_865,
    *,
    data_size_mib: int | None = None,
) -> Iterator[Phone]:
    """A phone for the length of a with statement."""
    phone = start_phone(scratch, identity, data_size_mib=data_size_mib)
    try:
        yield phone
    finally:
        phone.power_off()
