"""Start, break and stop an emulated board: the API for tests and for scripts/emulated-board."""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tests.emulation.identity import (
    CPU_FOLDER,
    RPI4,
    THERMAL_FOLDER,
    THROTTLED_FILE,
    BoardIdentity,
    write_file,
    write_machine_files,
)
from tests.emulation.ports import HOST, free_port, ssh_answers
from tests.emulation.processes import descendants, kill, wait_until_gone
from tests.emulation.requirements import EmulationError, enable_binfmt
from tests.emulation.root import prepare_root
from tests.emulation.sandbox import GUEST, Scratch, power_command, write_host_files

START_SECONDS = 20.0
PORT_ATTEMPTS = 5


class Board:
    """An emulated board and its power switch.

    Its scratch folder keeps what a real board keeps without power: the keys, the port, the
    machine id and the home folder. Use `start_board` to get one that runs.
    """

    def __init__(
        self,
        identity: BoardIdentity,
        scratch: Path,
        *,
        port: int | None = None,
        home_size_mib: int | None = None,
    ) -> None:
        self.identity = identity
        self.host = HOST
        self.user = identity.user
        self._scratch = Scratch(scratch.resolve())
        self._home_size_mib = home_size_mib
        self._wanted_port = port
        self._power: subprocess.Popen[bytes] | None = None
        self._init = 0
        for folder in (self._scratch.machine, self._scratch.host, self._scratch.home):
            folder.mkdir(parents=True, exist_ok=True)
        # A second board on the same scratch would take the first one's files from under it.
        self._lock = self._take_lock()
        self.port = port or self._remembered_port() or free_port()

    @property
    def identity_file(self) -> Path:
        """The private key that may log in."""
        return self._scratch.host / "client_key"

    @property
    def host_key(self) -> str:
        """The board's public key: type and base64, without a comment."""
        words = (self._scratch.host / "host_key.pub").read_text().split()
        return " ".join(words[:2])

    @property
    def known_hosts(self) -> Path:
        """A known_hosts file that lists only this board."""
        return self._scratch.host / "known_hosts"

    @property
    def home(self) -> Path:
        """The home folder of the board's user, as a path on the host.

        One of limited size lives in the board's memory: it can be reached only while the board
        runs, and a power cut empties it.
        """
        if self._home_size_mib is None:
            return self._scratch.home
        # through a process other than sshd, whose root the kernel hides from a normal user
        inside = next(process for process in descendants(self.pid) if process.name == "cat")
        return Path(f"/proc/{inside.pid}/root{GUEST}/home/{self.user}")

    @property
    def log(self) -> str:
        """What sshd said so far."""
        return (self._scratch.host / "sshd.log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        """The host's pid of the board's init; killing it is a power cut."""
        if not self.running:
            raise EmulationError(f"{self.identity.name} is switched off")
        return self._init

    @property
    def running(self) -> bool:
        """Whether the board has power."""
        return self._power is not None and self._power.poll() is None

    def power_on(self) -> None:
        """Switch the board on, again on its port, and wait until it answers."""
        if self.running:
            return
        root = prepare_root()
        self._lay_out_machine(root)
        for attempt in range(PORT_ATTEMPTS):
            if self._boot(root):
                (self._scratch.host / "port").write_text(f"{self.port}\n")
                self.known_hosts.write_text(f"[{self.host}]:{self.port} {self.host_key}\n")
                return
            if self._wanted_port is not None or attempt == PORT_ATTEMPTS - 1:
                break
            # somebody else took the port between our look and sshd's bind
            self.port = free_port()
        raise EmulationError(f"sshd of {self.identity.name} did not start:\n{self.log}")

    def power_cut(self) -> None:
        """Kill everything on the board at once, as a pulled plug does."""
        if self.running:
            kill([self.pid])
        self._release_power()

    def wait(self) -> None:
        """Wait until the board has no power, which in itself never happens."""
        if self._power is not None:
            self._power.wait()

    def stop(self) -> None:
        """End the board for good; its scratch folder may be removed or used by another one."""
        self.power_cut()
        self._lock.close()

    def kill_sessions(self) -> None:
        """Cut every live ssh session; what the board runs, detached or not, goes on.

        The client sees its connection closed. For one that only falls silent put a
        `faulty_proxy.FaultyProxy` in between and stall it.
        """
        tree = descendants(self.pid)
        # the listener, too, is called sshd, but is a child of init; later OpenSSH call the
        # process of a session sshd-session
        below_init = [process for process in tree if process.parent == self.pid]
        listeners = {process.pid for process in below_init if process.name == "sshd"}
        sessions = [
            process.pid
            for process in tree
            if process.name.startswith("sshd") and process.pid not in listeners
        ]
        kill(sessions)
        wait_until_gone(sessions)

    def write_machine_file(self, path: str, text: str, *, user_may_write: bool = False) -> None:
        """Change a file below /sys, /etc or /usr/local of the board, path without leading `/`."""
        file = self._scratch.machine / path
        write_file(file, text)
        if user_may_write:
            file.chmod(0o644)

    def read_machine_file(self, path: str) -> str:
        """Read such a file, for instance to see what the board's user wrote to a knob."""
        return (self._scratch.machine / path).read_text()

    def set_temperature(self, celsius: float) -> None:
        """Make the first thermal zone, and so vcgencmd, show this temperature."""
        text = f"{round(celsius * 1000)}\n"
        self.write_machine_file(f"{THERMAL_FOLDER}/thermal_zone0/temp", text)

    def set_throttled(self, bits: int) -> None:
        """Make `vcgencmd get_throttled` report these bits."""
        self.write_machine_file(THROTTLED_FILE, f"{bits:#x}\n")

    def set_governor(self, name: str, *, user_may_write: bool = False) -> None:
        """Set the cpufreq governor, and whether the board's user may change it without root."""
        path = f"{CPU_FOLDER}/cpufreq/policy0/scaling_governor"
        self.write_machine_file(path, f"{name}\n", user_may_write=user_may_write)

    def ssh_options(self, port: int | None = None) -> list[str]:
        """Options for the plain OpenSSH clients `ssh`, `sftp` and `scp`; `port` of a proxy."""
        options = {
            "Port": str(port or self.port),
            "IdentityFile": str(self.identity_file),
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": str(self.known_hosts),
            # with a proxy in between the port is another one, but the board is the same
            "HostKeyAlias": f"[{self.host}]:{self.port}",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "LogLevel": "ERROR",
        }
        pairs = (("-o", f"{name}={value}") for name, value in options.items())
        return ["-F", "none", *(word for pair in pairs for word in pair)]

    def _boot(self, root: Path) -> bool:
        """Start the sandbox; False when it ended before sshd answered."""
        write_host_files(self.identity, self._scratch, self.port)
        reader, writer = os.pipe()
        with os.fdopen(reader) as info:
            try:
                self._power = self._spawn(root, writer)
            finally:
                os.close(writer)
            said = info.read()  # until bubblewrap has closed its end
        self._init = json.loads(said)["child-pid"] if said else 0
        end = time.monotonic() + START_SECONDS
        while self.running:
            if ssh_answers(self.port):
                # another server on this port answers as well, but then our own sshd has ended
                if self.running:
                    return True
            elif time.monotonic() > end:
                self.power_cut()
            else:
                time.sleep(0.02)
        self._release_power()
        return False

    def _spawn(self, root: Path, info: int) -> subprocess.Popen[bytes]:
        argv = power_command(self.identity, root, self._scratch, self._home_size_mib, info)
        with (self._scratch.host / "sshd.log").open("ab") as log:
            return subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,  # the power cable, see sandbox.power_command
                stdout=log,
                stderr=log,
                pass_fds=(info,),
                start_new_session=True,  # Ctrl-C on a terminal is for us, not for the board
            )

    def _release_power(self) -> None:
        if self._power is not None:
            assert self._power.stdin is not None
            self._power.stdin.close()
            self._power.wait()
            self._power = None

    def _lay_out_machine(self, root: Path) -> None:
        machine = self._scratch.machine
        if not (machine / "etc").is_dir():
            shutil.copytree(root / "etc", machine / "etc", symlinks=True)
            write_file(machine / "etc/machine-id", f"{uuid.uuid4().hex}\n")
        for folder in ("sys", "usr/local"):
            (machine / folder).mkdir(parents=True, exist_ok=True)
        write_machine_files(self.identity, machine)

    def _remembered_port(self) -> int | None:
        path = self._scratch.host / "port"
        return int(path.read_text()) if path.is_file() else None

    def _take_lock(self) -> IO[str]:
        lock = (self._scratch.host / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise EmulationError(f"a board already uses {self._scratch.folder}") from None
        return lock


def start_board(
    identity: BoardIdentity,
    scratch: Path,
    *,
    port: int | None = None,
    home_size_mib: int | None = None,
) -> Board:
    """Start a board whose state lives in `scratch`; the same scratch is the same board again.

    `home_size_mib` gives it a small home folder, for tests of a full disk (no root needed).
    """
    enable_binfmt()
    board = Board(identity, scratch, port=port, home_size_mib=home_size_mib)
    try:
        board.power_on()
    except BaseException:
        board.stop()
        raise
    return board


@contextlib.contextmanager
def running_board(
    scratch: Path, identity: BoardIdentity = RPI4, *, home_size_mib: int | None = None
) -> Iterator[Board]:
    """A board for the length of a with statement."""
    board = start_board(identity, scratch, home_size_mib=home_size_mib)
    try:
        yield board
    finally:
        board.stop()
