"""TVM's own tracker in a process without torch, and a client that speaks to it byte by byte."""

import json
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_TRACKER_MAGIC, _SESSION_MAGIC = 0x2F271, 0xFF271
_REQUEST, _SUMMARY = 4, 6

# Ends with its input, so that nothing stays behind a killed test.
_PROGRAM = """
import os, sys
from tvm.rpc.tracker import PopenTrackerServerState
state = PopenTrackerServerState("127.0.0.1", 19190, 19990, silent=True)
print(state.port, flush=True)
sys.stdin.read()
os._exit(0)
"""


class Tracker:
    """One process; ``kill`` is what happens to it when the tuning dies."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.process.__exit__(None, None, None)  # closes the pipes and waits

    def summary(self) -> dict[str, Any]:
        with self._connect() as connection:
            found: dict[str, Any] = _ask(connection, [_SUMMARY])[1]
        return found

    def free(self, key: str) -> int:
        """How many sessions could be had at once."""
        queue: dict[str, int] = self.summary()["queue_info"].get(key, {"free": 0})
        return queue["free"]

    def servers(self, key: str) -> int:
        names = [server["key"] for server in self.summary()["server_info"]]
        return names.count(f"server:{key}")

    def request(self, key: str, timeout_s: float = 20) -> tuple[int, str]:
        """Port and match key of a board; waits until there is one."""
        with self._connect() as connection:
            connection.settimeout(timeout_s)
            _, (_, port, match_key) = _ask(connection, [_REQUEST, key, "", 1])
        return port, match_key

    def session(self, key: str, options: str = "", timeout_s: float = 20) -> socket.socket:
        """A session on the next free board of ``key``: a stream to the program over there."""
        port, match_key = self.request(key, timeout_s)
        return connect(port, match_key + options, timeout_s)

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), 20)
        connection.sendall(struct.pack("<i", _TRACKER_MAGIC))
        assert _integer(connection) == _TRACKER_MAGIC
        return connection


def connect(port: int, match_key: str, timeout_s: float = 20) -> socket.socket:
    """Introduce ourselves. Raises ConnectionError where the match key is refused."""
    connection = socket.create_connection(("127.0.0.1", port), timeout_s)
    name = f"client:{match_key}".encode()
    connection.sendall(struct.pack("<ii", _SESSION_MAGIC, len(name)) + name)
    code = _integer(connection)
    if code != _SESSION_MAGIC:
        connection.close()
        raise ConnectionError(f"refused with code {code - _SESSION_MAGIC}")
    receive(connection, _integer(connection))
    return connection


@contextmanager
def running_tracker() -> Iterator[Tracker]:
    tracker = Tracker()
    try:
        yield tracker
    finally:
        tracker.close()


def receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise ConnectionError("the session was closed")
        data += chunk
    return data


def _ask(connection: socket.socket, message: list[Any]) -> Any:
    text = json.dumps(message).encode()
    connection.sendall(struct.pack("<i", len(text)) + text)
    return json.loads(receive(connection, _integer(connection)))


def _integer(connection: socket.socket) -> int:
    value: int = struct.unpack("<i", receive(connection, 4))[0]
    return value
