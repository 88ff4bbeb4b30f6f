"""A board behind TVM's real tracker; the program on it is a stand-in that gives back each byte."""

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from edgepose.deadline import Deadline
from edgepose.devices.local import LocalTransport
from edgepose.devices.ssh import SshTransport
from edgepose.devices.transport import Channel, Transport
from edgepose.errors import UnreachableError
from edgepose.tuning.agent import Agent
from tests.devices.ssh_server import SSHD, SshServer
from tests.devices.test_transport_contract import wait_for
from tests.emulation.faulty_proxy import FaultyProxy
from tests.tuning.stand_in import DEAF, ECHO, echo, programs, write_program
from tests.tuning.tracker import Tracker, connect, receive, running_tracker

KEY = "test-key"
Start = Callable[..., Agent]


@pytest.fixture(scope="module")
def shared_tracker() -> Iterator[Tracker]:
    with running_tracker() as tracker:
        yield tracker


@pytest.fixture
def tracker(shared_tracker: Tracker) -> Tracker:
    """The one tracker, without any board of an earlier test."""
    assert wait_for(lambda: shared_tracker.servers(KEY) == 0)
    return shared_tracker


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tune-1"
    folder.mkdir()
    return folder


@pytest.fixture
def start(tracker: Tracker, tmp_path: Path, folder: Path) -> Iterator[Start]:
    """Starts a local board whose program is the given shell script; checks what it leaves."""
    agents = []

    def begin(program: str = ECHO, transport: Transport | None = None, **more) -> Agent:
        command = [str(write_program(tmp_path / "server", program)), str(folder)]
        transport = transport or LocalTransport()
        agents.append(Agent("board", transport, command, tracker.port, KEY, **more))
        return agents[-1]

    yield begin
    for agent in agents:
        agent.stop()
    assert not programs(folder)
    assert wait_for(lambda: not our_threads(), 5), our_threads()


def our_threads() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith(("agent-", "relay", "stderr"))]


def offered(agent: Agent) -> Agent:
    status = agent.wait_until_offered(Deadline.after(20))
    assert status.state == "ready", status
    return agent


def test_sessions_follow_each_other_each_with_a_fresh_program(start, tracker, folder):
    agent = offered(start(f'echo $$ >> "$1/pids"; {ECHO}'))
    for number in (1, 2, 3):
        with tracker.session(KEY) as session:
            echo(session)
            assert agent.status.state == "measuring"
        assert wait_for(lambda: agent.status.state == "ready")
        assert agent.status.sessions == number
    assert agent.status.failures == 0
    pids = (folder / "pids").read_text().split()
    assert len(set(pids)) == 4  # the fourth waits for the next session
    assert wait_for(lambda: len(programs(folder)) == 1)


def test_megabytes_pass_both_ways_at_once(start, tracker):
    offered(start())
    data = os.urandom(5 << 20)
    with tracker.session(KEY) as session:
        sender = threading.Thread(target=session.sendall, args=[data])
        sender.start()
        assert receive(session, len(data)) == data
        sender.join()


def test_only_the_client_that_the_tracker_sent_gets_in(start, tracker):
    agent = offered(start())
    port, match_key = tracker.request(KEY)
    with pytest.raises(ConnectionError, match="refused with code 2"):
        connect(port, f"{KEY}:0123456789abcdef")
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"GET ")
        assert stranger.recv(1) == b""
    with connect(port, match_key) as session:
        echo(session)
        assert agent.status.sessions == 1


def test_a_board_whose_key_was_taken_and_never_used_is_offered_again(start, tracker, monkeypatch):
    monkeypatch.setattr("edgepose.tuning.tracker_protocol._POLL_S", 0.1)
    offered(start())
    tracker.request(KEY)
    assert tracker.free(KEY) == 0
    with tracker.session(KEY) as session:
        echo(session)


def test_a_client_that_vanishes_costs_the_board_nothing(start, tracker, folder):
    agent = offered(start())
    session = tracker.session(KEY)
    echo(session)
    session.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    session.close()  # with a reset
    with tracker.session(KEY) as session:
        echo(session)
    assert agent.status.failures == 0
    assert wait_for(lambda: len(programs(folder)) == 1)


def test_a_program_that_does_not_end_with_its_client_is_killed(start, tracker, folder, monkeypatch):
    monkeypatch.setattr("edgepose.tuning.relay._ENDING_S", 0.5)
    agent = offered(start(f"dd bs=1 count=5 2>/dev/null; {DEAF}"))
    with tracker.session(KEY) as session:
        echo(session)
        hung = programs(folder)
        assert len(hung) == 1
    assert wait_for(lambda: agent.status.state == "ready")
    assert not set(programs(folder)) & set(hung)


def test_a_server_that_dies_is_an_error_for_its_client_and_the_next_session_works(
    start, tracker, folder
):
    agent = offered(start(f"echo out of luck >&2; {ECHO}"))
    with tracker.session(KEY) as session:
        echo(session)
        for pid in programs(folder):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(ConnectionError):
            receive(session, 1)
    with tracker.session(KEY) as session:
        echo(session)
        assert agent.status.failures == 1
        assert "exit status 137: out of luck" in agent.status.detail


def test_a_session_past_the_limit_of_its_client_is_cut(start, tracker, monkeypatch):
    monkeypatch.setattr("edgepose.tuning.relay._LATE_S", 0.2)
    agent = offered(start())
    with tracker.session(KEY, " -timeout=0.3") as session:
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            receive(session, 1)
        assert 0.4 < time.monotonic() - began < 5
    with tracker.session(KEY) as session:
        echo(session)
    assert agent.status.failures == 0


def test_a_board_that_dies_while_it_waits_is_withdrawn_until_it_is_back(
    start, tracker, folder, tmp_path
):
    # A program that refuses to start for as long as a file is there.
    check = '[ ! -e "$1/broken" ] || { echo no disk >&2; exit 3; }'
    agent = offered(start(f"{check}; {ECHO}"))
    (folder / "broken").touch()
    for pid in programs(folder):
        os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: "exit status 3: no disk" in agent.status.detail)
    assert wait_for(lambda: agent.status.failures > 2)
    (folder / "broken").unlink()
    with tracker.session(KEY) as session:
        echo(session)
    assert agent.status.sessions == 1


def test_a_board_that_stays_broken_is_given_up_and_says_why(start, tracker):
    agent = start("echo no libraries here >&2; exit 12", reconnect_s=1.0)
    assert wait_for(lambda: agent.status.gone)
    assert agent.status.state == "lost"
    assert agent.status.detail.endswith("ended with exit status 12: no libraries here")
    assert tracker.free(KEY) == 0


def test_a_program_that_speaks_unasked_is_told_as_such(start):
    agent = start(f"echo Welcome; {ECHO}", reconnect_s=0.5)
    assert wait_for(lambda: agent.status.gone)
    assert agent.status.detail == "the measuring server spoke before its session: Welcome\n"


class Flaky(LocalTransport):
    """Cannot be reached while ``down``."""

    down = False

    def open(self, argv: Sequence[str], deadline: Deadline) -> Channel:
        if self.down:
            raise UnreachableError("cannot reach board: it is off")
        return super().open(argv, deadline)


def test_an_unreachable_board_is_tried_again_until_it_is_back(start, tracker):
    transport = Flaky()
    transport.down = True
    agent = start(transport=transport)
    assert wait_for(lambda: agent.status.failures >= 2)
    assert agent.status.state == "connecting"
    assert agent.status.detail == "cannot reach board: it is off"
    transport.down = False
    with tracker.session(KEY) as session:
        echo(session)


@pytest.fixture
def cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple]:
    """A transport through a plain OpenSSH server, and the proxy that its link goes through."""
    if not os.access(SSHD, os.X_OK):
        pytest.skip("OpenSSH's sshd is not installed")
    monkeypatch.setenv("HOME", str(tmp_path))
    server = SshServer(tmp_path)
    server.start()
    with FaultyProxy("127.0.0.1", server.port) as proxy:
        transport = SshTransport(server.device(port=proxy.port))
        yield transport, proxy
        transport.close()
    server.stop()


def test_a_program_that_outlived_its_link_is_killed_before_the_next_session(
    cut_off, start, tracker, folder
):
    transport, proxy = cut_off
    agent = offered(start(DEAF, transport))
    with tracker.session(KEY) as session:
        assert wait_for(lambda: len(programs(folder)) == 1)
        orphans = programs(folder)
        proxy.reset()
        with pytest.raises(ConnectionError):
            receive(session, 1)
    with tracker.session(KEY):
        assert not set(orphans) & set(programs(folder))
        assert re.search("link to .* was lost", agent.status.detail)


def test_without_its_tracker_the_agent_ends(tmp_path):
    with running_tracker() as tracker:
        agent = Agent("board", LocalTransport(), ["cat", str(tmp_path)], tracker.port, KEY)
        # `cat` of a folder fails, so the board never gets as far as the tracker.
        assert wait_for(lambda: agent.status.failures > 0)
        agent.stop()
        command = [str(write_program(tmp_path / "server")), str(tmp_path / "folder")]
        agent = offered(Agent("board", LocalTransport(), command, tracker.port, KEY))
        tracker.kill()
        assert wait_for(lambda: agent.status.state == "stopped")
        assert "the tracker is gone" in agent.status.detail
        agent.stop()
        agent = Agent("board", LocalTransport(), command, tracker.port, KEY)
        assert wait_for(lambda: agent.status.state == "stopped")
        agent.stop()


@pytest.mark.parametrize("busy", [False, True])
def test_stop_ends_a_session_and_withdraws_the_board(start, tracker, busy):
    agent = offered(start())
    if busy:
        session = tracker.session(KEY)
        echo(session)
    began = time.monotonic()
    agent.stop("the lease was lost")
    assert time.monotonic() - began < 5
    assert (agent.status.state, agent.status.detail) == ("stopped", "the lease was lost")
    assert wait_for(lambda: tracker.servers(KEY) == 0 and tracker.free(KEY) == 0)
    if busy:
        with session, pytest.raises(ConnectionError):
            receive(session, 1)


def test_stop_does_not_wait_for_a_board_that_does_not_read(start, tracker):
    agent = offered(start(DEAF))
    with tracker.session(KEY) as session:
        session.settimeout(1)
        with pytest.raises(TimeoutError):
            while True:
                session.sendall(bytes(1 << 20))
        began = time.monotonic()
        agent.stop()
        assert time.monotonic() - began < 5
