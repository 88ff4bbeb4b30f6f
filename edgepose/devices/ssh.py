"""A device behind an SSH server."""

import contextlib
import os
import secrets
import select
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import paramiko
from paramiko.common import cMSG_CHANNEL_REQUEST

from edgepose.deadline import Deadline
from edgepose.devices import shell
from edgepose.devices.device import Device
from edgepose.devices.ssh_channel import SshChannel
from edgepose.devices.ssh_config import resolve
from edgepose.devices.ssh_link import SshLink, open_link
from edgepose.devices.transport import Completed
from edgepose.errors import DeviceError, UnreachableError

_CHUNK = 256 << 10
# The two streams of a paramiko channel share one pipe without a lock in common: when one runs
# empty just as the other fills, the pipe can stay silent although there is something to read.
_LOST_WAKE_UP_S = 0.05


class SshTransport:
    """Connects at the first call, and again at the next call after the link died.

    Files go through ``cat`` on the device rather than SFTP: it needs no SFTP server, says when
    the disk is full, and the device itself removes a partial upload when the link dies.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._link: SshLink | None = None
        self._connecting = threading.Lock()

    def connect(self, deadline: Deadline) -> None:
        """Connect now, to hear of a wrong key or address early."""
        with self._connecting:
            if self._link is None or not self._link.alive:
                self._drop()
                self._link = open_link(resolve(self._device), self._device.name, deadline)

    def run(self, argv: Sequence[str], deadline: Deadline) -> Completed:
        output = bytearray()
        with self._command(argv, deadline) as channel:
            channel.shutdown_write()
            returncode, stderr = _collect(channel, output.extend, deadline)
        return Completed(tuple(argv), returncode, bytes(output), stderr)

    def start(self, argv: Sequence[str], log: str, deadline: Deadline) -> int:
        return shell.detached_pid(self.run(shell.detached(argv, log), deadline), argv)

    def open(self, argv: Sequence[str], deadline: Deadline) -> SshChannel:
        line = shell.command_line(shell.opened(argv))
        link = self._connected(deadline)
        with self._trusting(link, deadline):
            return SshChannel(link, line, argv[0], deadline)

    def put(self, source: Path, destination: str, deadline: Deadline) -> None:
        shell.check_path(destination)
        part = f"{destination}.part-{secrets.token_hex(8)}"
        with _reading(source) as file:
            status = os.fstat(file.fileno())
            command = shell.receive(part, destination, status.st_size, status.st_mode)
            with self._command(command, deadline) as channel:
                _send(channel, file, deadline)
                returncode, stderr = _collect(channel, len, deadline)
        completed = Completed(tuple(command), returncode, b"", stderr)
        shell.succeeded(completed, f"cannot write {destination} on {self._device.host}")

    def get(self, source: str, destination: Path, deadline: Deadline) -> None:
        shell.check_path(source)
        command = ["cat", source]
        with _writing(destination) as write:
            with self._command(command, deadline) as channel:
                channel.shutdown_write()
                returncode, stderr = _collect(channel, write, deadline)
            completed = Completed(tuple(command), returncode, b"", stderr)
            shell.succeeded(completed, f"cannot read {source} on {self._device.host}")

    def close(self) -> None:
        with self._connecting:
            self._drop()

    @contextlib.contextmanager
    def _command(self, argv: Sequence[str], deadline: Deadline) -> Iterator[paramiko.Channel]:
        """A channel on which ``argv`` runs; a link that failed to answer is not used again."""
        line = shell.command_line(argv)
        link = self._connected(deadline)
        with self._trusting(link, deadline):
            channel = link.session(deadline)
            try:
                channel.exec_command(line)
                yield channel
            finally:
                with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
                    channel.close()

    def _connected(self, deadline: Deadline) -> SshLink:
        self.connect(deadline)
        link = self._link
        assert link is not None
        return link

    @contextlib.contextmanager
    def _trusting(self, link: SshLink, deadline: Deadline) -> Iterator[None]:
        """Name what goes wrong on ``link``, and let it go where it failed to answer."""
        try:
            with link.guarded(deadline):
                yield
        except UnreachableError:
            with self._connecting:
                if self._link is link:
                    self._drop()
            raise

    def _drop(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None


def _send(channel: paramiko.Channel, file: BinaryIO, deadline: Deadline) -> None:
    """Send all of ``file``. A device that stops reading says why when it is collected."""
    while chunk := _read(file):
        channel.settimeout(max(0.001, deadline.remaining_s))
        try:
            channel.sendall(chunk)
        except OSError:
            return
    with contextlib.suppress(OSError):
        channel.shutdown_write()


def _collect(
    channel: paramiko.Channel, sink: Callable[[bytes], object], deadline: Deadline
) -> tuple[int, bytes]:
    """Drain both streams until the command ended; (exit status, standard error).

    Raises UnreachableError at the deadline, having asked for the command to be killed, and where
    the link died. Status -1 is left to commands that a signal ended: OpenSSH sends no number then.
    """
    stderr = bytearray()
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLIN)
    ended = False
    while not ended and not deadline.expired:
        ended = bool(channel.eof_received or channel.closed)
        while channel.recv_ready() and not deadline.expired:
            sink(channel.recv(_CHUNK))
        while channel.recv_stderr_ready() and not deadline.expired:
            stderr += channel.recv_stderr(_CHUNK)
        if not ended:
            poll.poll(min(deadline.remaining_s, _LOST_WAKE_UP_S) * 1000)
    channel.status_event.wait(deadline.remaining_s)
    by_signal = channel.closed and channel.eof_received and channel.get_transport().is_active()
    if not by_signal and channel.exit_status == -1:
        if not deadline.expired:
            raise EOFError
        _kill(channel)
        raise TimeoutError
    return channel.exit_status, bytes(stderr)


def _kill(channel: paramiko.Channel) -> None:
    """Ask the server to kill the command.

    OpenSSH does so for ordinary users, but not for root and not under ForceCommand; there the
    command runs on, which is why anything long is started detached.
    """
    message = paramiko.Message()
    message.add_byte(cMSG_CHANNEL_REQUEST)
    message.add_int(channel.remote_chanid)
    message.add_string("signal")
    message.add_boolean(False)
    message.add_string("KILL")
    transport: Any = channel.get_transport()
    with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
        transport._send_user_message(message)


@contextlib.contextmanager
def _reading(source: Path) -> Iterator[BinaryIO]:
    try:
        file = source.open("rb")
    except OSError as error:
        raise DeviceError(f"cannot read {source}: {error.strerror}") from None
    with file:
        yield file


def _read(file: BinaryIO) -> bytes:
    try:
        return file.read(_CHUNK)
    except OSError as error:
        raise DeviceError(f"cannot read {file.name}: {error.strerror}") from None


@contextlib.contextmanager
def _writing(destination: Path) -> Iterator[Callable[[bytes], None]]:
    """A function that writes to a temporary file, which then becomes ``destination``."""
    part = destination.with_name(f"{destination.name}.part-{secrets.token_hex(8)}")

    def write(chunk: bytes) -> None:
        try:
            file.write(chunk)
        except OSError as error:
            # Not left to `guarded`, which would take it for a dead link.
            raise DeviceError(f"cannot write {destination}: {error.strerror}") from None

    try:
        with part.open("xb", buffering=0) as file:
            yield write
        part.replace(destination)
    except OSError as error:
        raise DeviceError(f"cannot write {destination}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
