"""TVM's tracker seen from a server that offers itself there: messages and the session's handshake.

The tracker speaks length-prefixed JSON after a magic number; each of our messages gets an answer.
A client that was given our port introduces itself with the match key that we gave the tracker.
All addresses are of this host's loopback. Failures of a socket stay OSError.
"""

import json
import secrets
import select
import socket
import struct
from dataclasses import dataclass
from typing import Any

from edgepose.deadline import Deadline

LOOPBACK = "127.0.0.1"
_TRACKER_MAGIC = 0x2F271
_SESSION_MAGIC = 0xFF271
_MISMATCH = _SESSION_MAGIC + 2
_SUCCESS, _PUT, _UPDATE_INFO, _GET_PENDING = 0, 3, 5, 7
_ANSWER_S = 10.0
_POLL_S = 2.0
_UNUSED_POLLS = 5  # so long a client may take from being given our key to connecting
_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Client:
    """Somebody who wants a session; it begins when ``accept`` tells so. ``timeout_s`` is theirs."""

    connection: socket.socket
    key: str
    timeout_s: float | None

    def accept(self) -> None:
        """Let the session begin: what follows are bytes of TVM's own protocol."""
        name = f"server:{self.key}".encode()
        head = struct.pack("<ii", _SESSION_MAGIC, len(name))
        self.connection.sendall(head + name)
        self.connection.settimeout(None)

    def close(self) -> None:
        self.connection.close()


class Registration:
    """One offer of a session at the tracker; closing it withdraws the offer."""

    def __init__(self, tracker_port: int, key: str) -> None:
        """Raises OSError where no tracker answers."""
        self._key = key
        self._tracker = socket.create_connection((LOOPBACK, tracker_port), _ANSWER_S)
        self._listener = socket.socket()
        try:
            self._listener.bind((LOOPBACK, 0))
            self._listener.listen(1)
            self._port: int = self._listener.getsockname()[1]
            self._tracker.sendall(struct.pack("<i", _TRACKER_MAGIC))
            if _receive_integer(self._tracker) != _TRACKER_MAGIC:
                raise OSError(f"what listens on port {tracker_port} is no tracker")
            self._tell([_UPDATE_INFO, {"key": f"server:{key}", "addr": [LOOPBACK, self._port]}])
            self._offer()
        except BaseException:
            self.close()
            raise

    def wait(self, wake: socket.socket) -> Client | None:
        """The next client with the right key; None as soon as ``wake`` can be read.

        Raises OSError where the tracker went away.
        """
        unused = 0
        while True:
            ready, _, _ = select.select([self._listener, self._tracker, wake], [], [], _POLL_S)
            if wake in ready:
                return None
            if self._tracker in ready:  # it says nothing by itself
                raise OSError("the tracker has closed the connection")
            if self._listener in ready:
                client = self._greet()
                if client is not None:
                    return client
            elif self._match_key in self._ask([_GET_PENDING]):
                unused = 0
            elif (unused := unused + 1) >= _UNUSED_POLLS:
                # Whoever was given our key has not come: without a new one nobody ever will.
                self._offer()
                unused = 0

    def close(self) -> None:
        self._listener.close()
        self._tracker.close()

    def _offer(self) -> None:
        # The tracker takes what stands before the last colon for the key.
        self._match_key = f"{self._key}:{secrets.token_hex(8)}"
        self._tell([_PUT, self._key, [self._port, self._match_key], LOOPBACK])

    def _tell(self, message: list[Any]) -> None:
        answer = self._ask(message)
        if answer != _SUCCESS:
            raise OSError(f"the tracker refused message {message[0]}: {answer}")

    def _ask(self, message: list[Any]) -> Any:
        text = json.dumps(message).encode()
        self._tracker.sendall(struct.pack("<i", len(text)) + text)
        try:
            return json.loads(_receive_text(self._tracker))
        except ValueError:
            raise OSError("the tracker's answer is not JSON") from None

    def _greet(self) -> Client | None:
        """Read who has connected; None, and closed, where it is not whom we wait for."""
        connection, _ = self._listener.accept()
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(_ANSWER_S)
            if _receive_integer(connection) == _SESSION_MAGIC:
                client, *options = _receive_text(connection).split()
                if secrets.compare_digest(client, f"client:{self._match_key}"):
                    return Client(connection, self._key, _timeout_s(options))
                connection.sendall(struct.pack("<i", _MISMATCH))
        except (OSError, ValueError, TypeError):  # TypeError: a key that is not ASCII
            pass
        connection.close()
        return None


def _timeout_s(options: list[str]) -> float | None:
    for option in options:
        name, _, value = option.partition("=")
        if name == "-timeout":
            return float(value)
    return None


def _receive_text(connection: socket.socket) -> str:
    """Raises OSError at the end of the stream, and ValueError where it is no text."""
    size = _receive_integer(connection)
    if not 0 <= size <= _MAX_BYTES:
        raise OSError(f"a message of {size} bytes")
    return _receive(connection, size).decode()


def _receive_integer(connection: socket.socket) -> int:
    value: int = struct.unpack("<i", _receive(connection, 4))[0]
    return value


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    until = Deadline.after(_ANSWER_S)
    while len(data) < size:
        if until.expired:  # one byte now and then does not count as an answer
            raise TimeoutError("no answer")
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise OSError("the connection was closed")
        data += chunk
    return data
