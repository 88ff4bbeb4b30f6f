"""A phone behind adb, Android's debug bridge.

adb's own exit status says nothing when the link dies in the middle of a command: its client then
ends with 0 and what had arrived so far. So each command reports its own end, see ``_REPORT``.
"""

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from edgepose.deadline import Deadline
from edgepose.devices import shell
from edgepose.devices.adb_client import adb, adb_devices, said
from edgepose.devices.adb_state import READY, TRANSIENT, is_network, not_ready
from edgepose.devices.device import Device
from edgepose.devices.transport import Channel, Completed
from edgepose.errors import DeviceError, UnreachableError

_SETTLING_S = 5.0  # a fresh link takes a moment to get from offline to its state
_FRESH_S = 0.5
_PROBE_S = 5.0
_FEATURE = "shell_v2"  # since Android 7: separate streams, unchanged bytes

# Printed on standard output when the command has ended: what came before it is complete.
_REPORT = r"""
token=$1; shift
"$@"
printf '\n%s %s\n' "$token" "$?"
"""

# adbd would make the missing folders.
_EXPECT = """
[ ! -d "$1" ] || { echo "$1: is a directory" >&2; exit 1; }
[ -d "${1%/*}/" ] || { echo "${1%/*}: no such folder" >&2; exit 1; }
"""

_ADMIT = """
part=$1 destination=$2 size=$3 mode=$4
trap 'rm -f "$part"' EXIT
[ "$(wc -c <"$part")" -eq "$size" ] || { echo "the upload was cut short" >&2; exit 1; }
chmod "$mode" "$part" && mv -f "$part" "$destination"
"""

# A detached command's own 126 would only be found in its log.
_STARTABLE = """
[ ! -f "$1" ] || [ -x "$1" ] || exit 126
shift
exec "$@"
"""


class AdbTransport:
    """Looks for the phone before every call, so that it finds one that went and came back.

    A serial ``HOST:PORT`` is connected to where adb's server does not know it, for instance after
    its restart. A command past its deadline may run on over there: anything long is started
    detached.
    """

    def __init__(self, device: Device) -> None:
        assert device.serial is not None
        self._serial = device.serial
        self._doubtful = False  # the last call had no answer: the link may be dead unnoticed
        self._checked = False

    def connect(self, deadline: Deadline) -> None:
        """Reach the phone now. Raises UnreachableError or AuthenticationError, with the fix."""
        if self._doubtful and is_network(self._serial) and not self._answers(deadline):
            adb(["disconnect", self._serial], deadline)
        self._doubtful = False
        states = adb_devices(deadline)
        if states.get(self._serial) != READY:
            states = self._wake(states, deadline)
        if states.get(self._serial) != READY:
            raise not_ready(self._serial, states)
        if not self._checked:
            self._check_features(deadline)

    def run(self, argv: Sequence[str], deadline: Deadline) -> Completed:
        shell.check_argv(argv)
        self.connect(deadline)
        return self._run(argv, deadline)

    def start(self, argv: Sequence[str], log: str, deadline: Deadline) -> int:
        detached = shell.detached(argv, log)
        command = ["sh", "-c", _STARTABLE, "edgepose", argv[0], *detached]
        completed = self.run(command, deadline)
        if completed.returncode == 126:
            folder = argv[0].rpartition("/")[0]
            raise DeviceError(
                f"cannot start {argv[0]} on {self._serial}: nothing may be executed in {folder}",
                hint="Give the device a workdir below /data/local/tmp: /sdcard and other shared "
                "storage do not allow it.",
            )
        return shell.detached_pid(completed, argv)

    def open(self, argv: Sequence[str], deadline: Deadline) -> Channel:
        raise DeviceError(
            f"a program on {self._serial} cannot be talked to over adb: tuning over adb is not "
            "possible yet",
            hint="Reach the device over SSH, or tune on this host with `--proxy host`.",
        )

    def put(self, source: Path, destination: str, deadline: Deadline) -> None:
        shell.check_path(destination)
        doing = f"cannot write {destination} on {self._serial}"
        size, mode = _size_and_mode(source)
        shell.succeeded(self.run(shell.script(_EXPECT, destination), deadline), doing)
        part = f"{destination}.part-{secrets.token_hex(8)}"
        words = ["-s", self._serial, "push", str(source.absolute()), part]
        try:
            done = adb(words, deadline)
        except UnreachableError:
            self._doubtful = True
            raise
        if done.returncode != 0:
            # Where this does not reach the phone any more, adbd itself removes the part.
            self._run(["rm", "-f", part], _short(deadline))
            raise shell.failure(Completed(tuple(words), 1, b"", said(done).encode()), doing)
        command = shell.script(_ADMIT, part, destination, str(size), f"{mode & 0o777:o}")
        shell.succeeded(self._run(command, deadline), doing)

    def get(self, source: str, destination: Path, deadline: Deadline) -> None:
        shell.check_path(source)
        self.connect(deadline)
        part = destination.absolute().with_name(f"{destination.name}.part-{secrets.token_hex(8)}")
        try:
            done = adb(["-s", self._serial, "pull", source, str(part)], deadline)
            if done.returncode != 0:
                self._run(["true"], _short(deadline))
                raise DeviceError(f"cannot read {source} on {self._serial}: {said(done)}")
            if part.is_dir():
                raise DeviceError(f"cannot read {source} on {self._serial}: is a directory")
            part.replace(destination)
        except UnreachableError:
            self._doubtful = True
            raise
        except OSError as error:
            raise DeviceError(f"cannot write {destination}: {error.strerror}") from None
        finally:
            _remove(part)

    def close(self) -> None:
        """Nothing is held open: the link is that of adb's server, which others use as well."""

    def _run(self, argv: Sequence[str], deadline: Deadline) -> Completed:
        token = secrets.token_hex(16)
        line = shell.command_line(["sh", "-c", _REPORT, "edgepose", token, *argv])
        try:
            done = adb(["-s", self._serial, "shell", "-T", "-n", line], deadline)
            stdout, _, rest = done.stdout.partition(f"\n{token} ".encode())
            status, ended, late = rest.partition(b"\n")
            if not ended:
                raise UnreachableError(
                    f"the link to {self._serial} was lost: {said(done)}",
                    hint="Check the cable or the network, and that the phone is on.",
                )
        except UnreachableError:
            self._doubtful = True
            raise
        # What came late is of processes that the command left behind.
        return Completed(tuple(argv), int(status), stdout + late, done.stderr)

    def _answers(self, deadline: Deadline) -> bool:
        try:
            self._run(["true"], _short(deadline))
        except UnreachableError:
            return False
        return True

    def _wake(self, states: dict[str, str], deadline: Deadline) -> dict[str, str]:
        """Connect to a phone on the network, and wait until its state is a lasting one."""
        if not is_network(self._serial):
            return self._settled(states, TRANSIENT, _SETTLING_S, deadline)
        # Another process may just be connecting to it: its link is not to be cut.
        states = self._settled(states, TRANSIENT, _FRESH_S, deadline)
        if states.get(self._serial) not in (None, "offline"):
            return states
        if self._serial in states:
            # Of a link that died adb's server would say that it is already connected.
            adb(["disconnect", self._serial], deadline)
        answer = said(adb(["connect", self._serial], deadline))
        states = adb_devices(deadline)
        if self._serial not in states and "connected to" not in answer:
            raise UnreachableError(
                f"cannot reach {self._serial}: {answer}",
                hint="Check its address, and that debugging over the network is on.",
            )
        # A link that another process is making is not listed yet.
        return self._settled(states, TRANSIENT | {None}, _SETTLING_S, deadline)

    def _settled(
        self,
        states: dict[str, str],
        passing: Collection[str | None],
        seconds: float,
        deadline: Deadline,
    ) -> dict[str, str]:
        until = Deadline.after(min(seconds, deadline.remaining_s))
        while states.get(self._serial) in passing and not until.expired:
            time.sleep(0.05)
            states = adb_devices(deadline)
        return states

    def _check_features(self, deadline: Deadline) -> None:
        answer = adb(["-s", self._serial, "features"], deadline)
        if answer.returncode != 0:
            raise UnreachableError(f"cannot reach {self._serial}: {said(answer)}")
        if _FEATURE not in answer.stdout.decode(errors="replace").split():
            raise DeviceError(
                f"the adb of device {self._serial} is too old: it lacks {_FEATURE}",
                hint="Android 7 or newer is needed.",
            )
        self._checked = True


def _short(deadline: Deadline) -> Deadline:
    """Time enough to see whether the phone answers at all."""
    return Deadline.after(min(_PROBE_S, deadline.remaining_s))


def _size_and_mode(source: Path) -> tuple[int, int]:
    try:
        with source.open("rb") as file:
            status = os.fstat(file.fileno())
    except OSError as error:
        raise DeviceError(f"cannot read {source}: {error.strerror}") from None
    return status.st_size, status.st_mode


def _remove(part: Path) -> None:
    """What a failed pull left; a folder, where one was asked for by mistake."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink()
