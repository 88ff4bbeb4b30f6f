"""Bytes between a client's socket and a program on a board, until either has ended."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

from edgepose.deadline import Deadline
from edgepose.devices.transport import Channel
from edgepose.errors import DeviceError
from edgepose.tuning.tracker_protocol import Client

_CHUNK = 64 << 10
_ENDING_S = 5.0  # for a program whose client has gone to end by itself
_STATUS_S = 2.0  # between the end of a program's output and its exit status
# The client times itself and tells a slow candidate from a lost board; we come after it.
_LATE_S = 10.0


class Relay:
    """Owns ``channel``. ``board_ended`` can be read once the program or the link has ended."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._client: Client | None = None
        self._ended = threading.Event()
        self._error: DeviceError | None = None
        self._expired = False
        self.board_ended, self._signal = socket.socketpair()
        self._down = threading.Thread(target=self._downstream, name="relay", daemon=True)
        self._down.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._channel.close()
        self._down.join()
        self.board_ended.close()
        self._signal.close()

    def run(self, client: Client) -> None:
        """Serve ``client`` to its end. Raises DeviceError where the board's side broke off."""
        self._client = client
        limit_s = None if client.timeout_s is None else client.timeout_s + _LATE_S
        timer = threading.Timer(limit_s or 0, self._expire)
        timer.daemon = True
        if limit_s is not None:
            timer.start()
        try:
            # `_downstream` looks for the client after it has told of the end: nobody is missed.
            if not self._ended.is_set():
                self._upstream(client)
        finally:
            timer.cancel()
        if self._ended.is_set() and not self._expired:
            self.raise_why(done=True)
        self._channel.end_input()
        self._down.join(_ENDING_S)

    def raise_why(self, done: bool = False) -> None:
        """Raise the error of a board whose side has ended; none where it was ``done`` properly."""
        if self._error is not None:
            raise self._error
        status = self._channel.returncode(Deadline.after(_STATUS_S))
        if done and status == 0:
            return
        said = self._channel.stderr_tail()
        raise DeviceError(
            f"the measuring server ended with exit status {status}" + (f": {said}" if said else "")
        )

    def _upstream(self, client: Client) -> None:
        """Until the client has gone, or was sent away by ``_downstream``."""
        try:
            client.accept()
            while data := client.connection.recv(_CHUNK):
                self._channel.write(data)
        except OSError:
            pass  # gone without a farewell
        except DeviceError as error:
            # A program that reads no more has ended or is about to: that says more.
            self._down.join(_STATUS_S)
            self._error = self._error or (None if self._ended.is_set() else error)
            self._ended.set()

    def _downstream(self) -> None:
        try:
            while data := self._channel.read(_CHUNK):
                if self._client is None:
                    shown = data[:200].decode(errors="replace")
                    raise DeviceError(f"the measuring server spoke before its session: {shown}")
                with contextlib.suppress(OSError):  # without a client it is read all the same
                    self._client.connection.sendall(data)
        except DeviceError as error:
            self._error = error
        self._ended.set()
        with contextlib.suppress(OSError):
            self._signal.send(b"\0")
        self._send_away()

    def _expire(self) -> None:
        self._expired = True
        self._send_away()
        self._channel.close()

    def _send_away(self) -> None:
        """Close the client's socket in both directions, which also ends a wait for it."""
        if self._client is not None:
            with contextlib.suppress(OSError):
                self._client.connection.shutdown(socket.SHUT_RDWR)
