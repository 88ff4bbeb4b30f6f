"""Two boards behind a real SSH server measure for a tuner, and what goes wrong meanwhile.

Only the first test runs the real measuring server; for faults a stand-in gives back each byte.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgepose.deadline import Deadline
from edgepose.devices.device import Device
from edgepose.devices.lease import look
from edgepose.devices.ssh import SshTransport
from edgepose.targets import load_target
from edgepose.tuning.fleet import Fleet, ServerFiles, measuring
from tests.devices.test_transport_contract import wait_for
from tests.emulation.board import Board, running_board
from tests.emulation.conftest import entry
from tests.emulation.faulty_proxy import FaultyProxy
from tests.emulation.processes import command_line, descendants, kill
from tests.tuning.stand_in import echo, stand_in
from tests.tuning.tracker import Tracker, receive, running_tracker

RPI4 = load_target("rpi4")
KEY = "emulated"
CLIENT = Path(__file__).parents[1] / "tuning" / "client.py"


@pytest.fixture(scope="module")
def tracker() -> Iterator[Tracker]:
    with running_tracker() as tracker:
        yield tracker


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    with running_board(tmp_path_factory.mktemp("second")) as board:
        yield board


@pytest.fixture
def files(tmp_path: Path) -> ServerFiles:
    return stand_in(tmp_path)


@pytest.fixture
def clean(board: Board, second: Board) -> Iterator[None]:
    """Nothing is left on the boards, whatever happened."""
    yield
    for each in (board, second):
        assert wait_for(lambda each=each: not servers(each))
        assert not list((each.home / ".edgepose" / "runs").glob("tune-*"))
        transport = SshTransport(entry(each))
        workdir = f"/home/{each.user}/.edgepose"
        assert look(transport, workdir, Deadline.after(30)) is None
        transport.close()


pytestmark = pytest.mark.usefixtures("clean")


def servers(board: Board) -> list[int]:
    """The measuring servers that run on the board, by their process ids on the host."""
    found = []
    for process in descendants(board.pid):
        words = command_line(process)
        # Not the shells and sandboxes around them, whose command lines hold the same path.
        if b"/runs/tune-" in words[-1] and b"-c" not in words:
            found.append(process.pid)
    return found


def devices(board: Board, second: Board) -> list[Device]:
    return [entry(board, "first"), entry(second, "second")]


def sessions(fleet: Fleet) -> list[int]:
    return [board.sessions for board in fleet.boards]


def test_real_servers_on_both_boards_of_a_key_measure(
    tracker: Tracker, board: Board, second: Board
) -> None:
    with measuring(devices(board, second), RPI4, tracker.port, KEY) as fleet:
        argv = [sys.executable, str(CLIENT), str(tracker.port), KEY, "aarch64", "4"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert [line["right"] for line in lines] == [True] * 4
        assert all(line["health"]["temperatures_c"] for line in lines)
        assert sessions(fleet) == [2, 2]
        assert [status.failures for status in fleet.boards] == [0, 0]


def test_two_sessions_at_once_are_on_two_boards(
    tracker: Tracker, board: Board, second: Board, files: ServerFiles
) -> None:
    with (
        measuring(devices(board, second), RPI4, tracker.port, KEY, files=files) as fleet,
        tracker.session(KEY) as one,
        tracker.session(KEY) as other,
    ):
        echo(one)
        echo(other)
        assert sessions(fleet) == [1, 1]


def test_a_server_killed_in_mid_session_is_an_error_there_and_the_board_goes_on(
    tracker: Tracker, board: Board, files: ServerFiles
) -> None:
    with measuring([entry(board)], RPI4, tracker.port, KEY, files=files) as fleet:
        with tracker.session(KEY) as session:
            echo(session)
            kill(servers(board))
            with pytest.raises(ConnectionError):
                receive(session, 1)
        with tracker.session(KEY) as session:
            echo(session)
        [status] = fleet.boards
        assert (status.sessions, status.failures) == (2, 1)
        assert "exit status" in status.detail


def test_after_the_ssh_connection_was_cut_in_mid_session_the_board_comes_back(
    tracker: Tracker, board: Board, files: ServerFiles
) -> None:
    with measuring([entry(board)], RPI4, tracker.port, KEY, files=files) as fleet:
        for cut in (1, 2):
            with tracker.session(KEY) as session:
                echo(session)
                board.kill_sessions()
                with pytest.raises(ConnectionError):
                    receive(session, 1)
            assert wait_for(lambda cut=cut: fleet.boards[0].failures >= cut)
        with tracker.session(KEY) as session:
            echo(session)
            assert len(servers(board)) == 1


def test_a_link_that_falls_silent_costs_one_session(
    tracker: Tracker, board: Board, files: ServerFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgepose.tuning.relay._LATE_S", 0.5)
    monkeypatch.setattr("edgepose.devices.ssh_channel._KILL_S", 1)
    with FaultyProxy(board.host, board.port) as proxy:
        device = entry(board, port=proxy.port)
        with measuring([device], RPI4, tracker.port, KEY, files=files):
            with tracker.session(KEY, " -timeout=1") as session:
                proxy.stall()
                with pytest.raises(ConnectionError):
                    receive(session, 1)
            proxy.resume()
            with tracker.session(KEY) as session:
                echo(session)
                assert wait_for(lambda: len(servers(board)) == 1)


def test_a_board_without_power_is_left_out_and_comes_back(
    tracker: Tracker, board: Board, second: Board, files: ServerFiles
) -> None:
    with measuring(devices(board, second), RPI4, tracker.port, KEY, files=files) as fleet:
        second.power_cut()
        try:
            assert wait_for(lambda: fleet.boards[1].state == "connecting")
            for _ in range(3):
                with tracker.session(KEY) as session:
                    echo(session)
            assert sessions(fleet) == [3, 0]
            assert "cannot reach" in fleet.boards[1].detail or "lost" in fleet.boards[1].detail
        finally:
            second.power_on()
        assert wait_for(lambda: fleet.boards[1].state == "ready", 60)
        with tracker.session(KEY) as one, tracker.session(KEY) as other:
            echo(one)
            echo(other)
        assert sessions(fleet) == [4, 1]


def test_an_error_in_mid_session_leaves_nothing_on_the_boards(
    tracker: Tracker, board: Board, second: Board, files: ServerFiles
) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        measuring(devices(board, second), RPI4, tracker.port, KEY, files=files),
        tracker.session(KEY) as session,
    ):
        echo(session)
        assert servers(board) or servers(second)
        raise KeyboardInterrupt
