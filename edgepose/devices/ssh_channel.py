"""A program behind an SSH server as a stream of bytes."""

import contextlib

import paramiko

from edgepose.deadline import Deadline
from edgepose.devices import shell
from edgepose.devices.ssh_link import SshLink
from edgepose.devices.stderr_tail import StderrTail
from edgepose.errors import DeviceError, UnreachableError

_CHUNK = 64 << 10
_KILL_S = 10.0
_SETTLING_S = 1.0  # between the end of the output and the exit status
_LOST = (paramiko.SSHException, OSError, EOFError)


class SshChannel:
    """A Channel without a terminal, so that every byte passes.

    Closing an SSH channel ends no program that does not read, so its process id, the first line
    of its output, is kept for killing it.
    """

    def __init__(self, link: SshLink, line: bytes, name: str, deadline: Deadline) -> None:
        """Run the command ``line``. Raises DeviceError where it says no process id."""
        self._link = link
        self._closed = False
        self._channel = channel = link.session(deadline)
        try:
            channel.exec_command(line)
            self._tail = StderrTail(lambda: channel.recv_stderr(_CHUNK))
            self._pid = self._first_line(deadline)
        except BaseException:
            self._drop(channel)
            raise
        if not self._pid.isdigit():
            self._tail.wait(_SETTLING_S)
            self._drop(channel)
            raise DeviceError(
                f"cannot start {name}: {self._tail.text or self._pid}",
                hint="The login shell there must print nothing by itself.",
            )

    def read(self, max_bytes: int) -> bytes:
        try:
            data = self._channel.recv(max_bytes)
        except _LOST:
            data = b""
        if not data and not self._channel.eof_received and not self._closed:
            raise self._lost()
        return data

    def write(self, data: bytes) -> None:
        try:
            self._channel.sendall(data)
        except _LOST:
            if self._link.alive:
                raise DeviceError("the program does not read its input any more") from None
            raise self._lost() from None

    def end_input(self) -> None:
        with contextlib.suppress(*_LOST):
            self._channel.shutdown_write()

    def returncode(self, deadline: Deadline) -> int | None:
        self._channel.status_event.wait(deadline.remaining_s)
        # A command that a signal ended has no number: its channel closes without one.
        ended = self._channel.closed and self._channel.eof_received
        code: int = self._channel.exit_status
        return code if code != -1 or ended else None

    def stderr_tail(self) -> str:
        return self._tail.text

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._link.alive and not self._channel.status_event.is_set():
            self._kill()
        self._drop(self._channel)
        self._tail.wait(_SETTLING_S)

    def _first_line(self, deadline: Deadline) -> str:
        line = b""
        while not line.endswith(b"\n"):
            self._channel.settimeout(max(0.001, deadline.remaining_s))
            byte = self._channel.recv(1)
            if not byte:
                break
            line += byte
        self._channel.settimeout(None)
        return line.decode(errors="replace").strip()

    def _kill(self) -> None:
        deadline = Deadline.after(_KILL_S)
        with contextlib.suppress(UnreachableError), self._link.guarded(deadline):
            killer = self._link.session(deadline)
            try:
                killer.exec_command(shell.command_line(["kill", "-9", self._pid]))
                killer.status_event.wait(deadline.remaining_s)
            finally:
                self._drop(killer)

    def _lost(self) -> UnreachableError:
        return UnreachableError(
            f"the link to {self._link.label} was lost",
            hint="Check that the device is on and that `ssh` reaches it.",
        )

    @staticmethod
    def _drop(channel: paramiko.Channel) -> None:
        with contextlib.suppress(*_LOST):
            channel.close()
