"""The faulty proxy, in front of a plain echo server and of a board."""

import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from tests.emulation.board import Board
from tests.emulation.faulty_proxy import FaultyProxy


class Echo(socketserver.BaseRequestHandler):
    """Sends back what it gets."""

    def handle(self) -> None:
        try:
            while data := self.request.recv(65536):
                self.request.sendall(data)
        except ConnectionError:
            return


@pytest.fixture
def proxy() -> Iterator[FaultyProxy]:
    """A proxy in front of an echo server."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        with FaultyProxy(*server.server_address) as proxy:
            yield proxy
        server.shutdown()
        thread.join()


@pytest.fixture
def client(proxy: FaultyProxy) -> Iterator[socket.socket]:
    """A connection through the proxy that gives up after ten seconds."""
    with connect(proxy) as connection:
        yield connection


def connect(proxy: FaultyProxy) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), timeout=10)


def echo(connection: socket.socket, size: int) -> float:
    """Send and get back `size` bytes; the seconds it took."""
    start = time.monotonic()
    sender = threading.Thread(target=connection.sendall, args=(b"x" * size,))
    sender.start()
    received = 0
    while received < size:
        data = connection.recv(65536)
        assert data, "the connection ended early"
        received += len(data)
    sender.join()
    return time.monotonic() - start


def test_bytes_pass_and_are_counted(proxy: FaultyProxy, client: socket.socket) -> None:
    echo(client, 1_000_000)
    assert proxy.forwarded == 2_000_000


def test_the_end_of_a_stream_passes_too(client: socket.socket) -> None:
    client.sendall(b"last words")
    client.shutdown(socket.SHUT_WR)
    assert client.recv(100) == b"last words"
    assert client.recv(100) == b""


def test_latency_delays_each_direction(proxy: FaultyProxy, client: socket.socket) -> None:
    proxy.set_latency(0.1)
    assert 0.2 <= echo(client, 10) < 5


def test_a_rate_slows_a_transfer_down(proxy: FaultyProxy, client: socket.socket) -> None:
    proxy.set_rate(200_000)
    assert 0.4 <= echo(client, 100_000) < 5


def test_a_stall_is_silent_and_loses_nothing(proxy: FaultyProxy, client: socket.socket) -> None:
    proxy.stall()
    client.sendall(b"held back")
    client.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.recv(100)
    client.settimeout(10)
    proxy.resume()
    assert client.recv(100) == b"held back"


def test_a_reset_breaks_live_connections_only(proxy: FaultyProxy, client: socket.socket) -> None:
    echo(client, 10)
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        client.recv(100)
    with connect(proxy) as again:
        echo(again, 10)


def test_a_reset_comes_after_exactly_so_many_bytes(
    proxy: FaultyProxy, client: socket.socket
) -> None:
    proxy.reset_after(50_000)
    with pytest.raises(ConnectionError):
        echo(client, 100_000)
    assert proxy.forwarded == 50_000
    with connect(proxy) as again:
        echo(again, 100_000)


def test_a_closed_proxy_refuses_connections(proxy: FaultyProxy) -> None:
    proxy.close()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)


def test_ssh_hangs_on_a_stalled_link_and_goes_on_after_it(board: Board) -> None:
    with FaultyProxy(board.host, board.port) as proxy:
        argv = ["ssh", *board.ssh_options(proxy.port), f"{board.user}@{board.host}", "cat"]
        with subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        ) as session:
            assert session.stdin is not None and session.stdout is not None
            session.stdin.write(b"before\n")
            assert session.stdout.readline() == b"before\n"
            proxy.stall()
            session.stdin.write(b"after\n")
            with pytest.raises(subprocess.TimeoutExpired):
                session.wait(timeout=0.5)
            proxy.resume()
            assert session.stdout.readline() == b"after\n"
            session.stdin.close()
            assert session.wait(timeout=10) == 0


def test_ssh_ends_when_its_link_is_reset(board: Board) -> None:
    with FaultyProxy(board.host, board.port) as proxy:
        argv = ["ssh", *board.ssh_options(proxy.port), f"{board.user}@{board.host}"]
        with subprocess.Popen(
            [*argv, "echo ready; read"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as session:
            assert session.stdout is not None
            assert session.stdout.readline() == b"ready\n"
            proxy.reset()
            assert session.wait(timeout=10) == 255
