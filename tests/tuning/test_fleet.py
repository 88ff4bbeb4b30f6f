"""Boards are held, equipped and offered, and given back: this machine as the board."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgepose.deadline import Deadline
from edgepose.devices.device import LOCAL, Device
from edgepose.devices.lease import acquire, held, look
from edgepose.devices.local import LocalTransport
from edgepose.errors import DeviceError, EdgePoseError, LeaseError, UsageError
from edgepose.targets import load_target
from edgepose.tuning.fleet import ServerFiles, holding, measuring, server_files
from tests.devices.test_transport_contract import is_running, wait_for
from tests.tuning.stand_in import echo, programs, stand_in
from tests.tuning.tracker import Tracker, receive, running_tracker

HOST = load_target("host")
KEY = "fleet-key"
CLIENT = Path(__file__).with_name("client.py")


@pytest.fixture(scope="module")
def tracker() -> Iterator[Tracker]:
    with running_tracker() as tracker:
        yield tracker


@pytest.fixture
def workdir(tmp_path: Path) -> Iterator[Path]:
    """edgepose's folder on the device; sees to it that nothing stays there or in this process."""
    threads, folder = threading.active_count(), tmp_path / "device"
    yield folder
    assert not programs(f"{folder}/runs/tune-[0-9a-f]*")
    assert not list(folder.glob("runs/tune-*"))
    assert wait_for(lambda: threading.active_count() <= threads, 5), threading.enumerate()


@pytest.fixture
def board(workdir: Path) -> Device:
    return Device(name="board", target="host", transport="local", workdir=str(workdir))


@pytest.fixture
def files(tmp_path: Path) -> ServerFiles:
    return stand_in(tmp_path)


def is_free(workdir: Path) -> bool:
    return look(LocalTransport(), str(workdir), Deadline.after(10)) is None


def test_a_real_session_uploads_runs_times_and_asks_for_health(tracker, board, workdir):
    with measuring([board], HOST, tracker.port, KEY) as fleet:
        argv = [sys.executable, str(CLIENT), str(tracker.port), KEY, HOST.arch, "2"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        for line in map(json.loads, done.stdout.splitlines()):
            assert line["right"]
            assert line["mean_s"] > 0
            assert {"temperatures_c", "clocks_mhz", "throttled"} <= line["health"].keys()
        assert wait_for(lambda: fleet.boards[0].state == "ready")
        assert (fleet.boards[0].sessions, fleet.boards[0].failures) == (2, 0)
    assert is_free(workdir)


def test_a_real_server_killed_in_mid_session_is_seen_by_its_client_and_replaced(
    tracker, board, workdir
):
    with measuring([board], HOST, tracker.port, KEY) as fleet:
        session = tracker.session(KEY)
        for pid in programs(f"{workdir}/runs/tune-[0-9a-f]*"):
            os.kill(pid, 9)
        with session, pytest.raises(ConnectionError):
            receive(session, 1)
        argv = [sys.executable, str(CLIENT), str(tracker.port), KEY, HOST.arch, "1"]
        assert json.loads(subprocess.check_output(argv))["right"]
        assert fleet.boards[0].failures == 1


def test_the_server_finds_its_libraries_and_settings(tracker, board, workdir, files):
    with measuring([board], HOST, tracker.port, KEY, threads=2, files=files) as fleet:
        assert [status.state for status in fleet.boards] == ["ready"]
        assert not is_free(workdir)
        [settings] = workdir.glob("runs/tune-*/server.json")
        read = json.loads(settings.read_text())
        assert Path(read["libraries"]["libtest.so"]).read_text() == "a library"
        assert read["threads"] == 2
        assert read["cpus"] is None or len(read["cpus"]) == 2
        with tracker.session(KEY) as session:
            echo(session)
    assert is_free(workdir)
    assert wait_for(lambda: tracker.servers(KEY) == 0)


def test_held_boards_can_be_offered_to_one_tracker_after_another(board, files):
    with holding([board], HOST, files=files) as fleet:
        assert [status.state for status in fleet.boards] == ["connecting"]
        for key in ("probe", "search"):
            with running_tracker() as tracker:
                fleet.offer(tracker.port, key)
                with tracker.session(key) as session:
                    echo(session)
                fleet.withdraw()
                assert wait_for(lambda key=key, it=tracker: it.servers(key) == 0)


def test_a_tuner_that_is_killed_leaves_no_program_and_a_board_that_is_free(
    board, workdir, files, tmp_path
):
    program = """
import sys, time
from pathlib import Path
from edgepose.devices.device import Device
from edgepose.targets import load_target
from edgepose.tuning.fleet import ServerFiles, measuring
workdir, port, server, library = sys.argv[1:]
device = Device(name="board", target="host", transport="local", workdir=workdir)
files = ServerFiles(Path(server), {"libtest.so": Path(library)})
with measuring([device], load_target("host"), int(port), "killed", files=files):
    print("measuring", flush=True)
    time.sleep(600)
"""
    with running_tracker() as tracker:
        library = str(files.libraries["libtest.so"])
        argv = [str(workdir), str(tracker.port), str(files.program), library]
        tuner = subprocess.Popen([sys.executable, "-c", program, *argv], stdout=subprocess.PIPE)
        with tuner:
            assert tuner.stdout.readline() == b"measuring\n"
            with tracker.session("killed") as session:
                echo(session)
                assert programs(f"{workdir}/runs/tune-[0-9a-f]*")
                tuner.kill()
                with pytest.raises(ConnectionError):
                    receive(session, 1)
    assert wait_for(lambda: not programs(f"{workdir}/runs/tune-[0-9a-f]*"))
    with holding([board], HOST, files=files):
        pass


def test_everything_is_undone_after_an_error_in_the_middle_of_a_session(
    tracker, board, workdir, files
):
    with (
        pytest.raises(RuntimeError, match="oops"),
        measuring([board], HOST, tracker.port, KEY, files=files),
    ):
        session = tracker.session(KEY)
        echo(session)
        raise RuntimeError("oops")
    with session, pytest.raises(ConnectionError):
        receive(session, 1)
    assert is_free(workdir)


def test_what_a_killed_tuning_left_is_removed(tracker, board, workdir, files, tmp_path):
    old = workdir / "runs" / "tune-0123456789abcdef"
    old.mkdir(parents=True)
    # In a session of its own, as one that outlived its link.
    orphan = subprocess.Popen(
        [files.program, old], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert wait_for(lambda: programs(old) == [orphan.pid])
    with holding([board], HOST, files=files):
        assert not is_running(orphan.pid)
        assert not old.exists()
    orphan.communicate()


@pytest.mark.parametrize(
    ("devices", "match"),
    [
        ([LOCAL, Device(name="pi", target="rpi4", transport="ssh", host="h")], "'pi' is a rpi4"),
        ([LOCAL, LOCAL], "'local' is named twice"),
        ([], "no device is named"),
    ],
)
def test_wrong_devices_are_refused_before_any_is_touched(devices, match, files):
    with pytest.raises(UsageError, match=match), holding(devices, HOST, files=files):
        pass


def test_a_server_that_does_not_start_is_named_with_its_device(board, workdir, tmp_path):
    files = stand_in(tmp_path, 'echo "libtest.so: GLIBC_2.99 not found" >&2; exit 12')
    with (
        pytest.raises(DeviceError, match=r"'board', exit status 12: libtest.so: GLIBC_2.99 not"),
        holding([board], HOST, files=files),
    ):
        pass
    assert is_free(workdir)


def test_the_real_server_says_which_library_is_missing(board, workdir, tmp_path):
    real = server_files(HOST.arch)
    broken = {name: tmp_path / "broken" for name in real.libraries}
    (tmp_path / "broken").write_text("no library")
    with (
        pytest.raises(DeviceError, match="does not start on device 'board', exit status"),
        holding([board], HOST, files=ServerFiles(real.program, broken)),
    ):
        pass


def test_a_session_that_cannot_start_names_the_device_and_the_cause(
    tracker, board, workdir, files, monkeypatch
):
    monkeypatch.setattr("edgepose.tuning.fleet._OFFER_S", 1)
    with holding([board], HOST, files=files) as fleet:
        for file in workdir.glob("cache/*"):
            file.unlink()
        with pytest.raises(DeviceError, match=r"'board' cannot measure: cannot start .*No such"):
            fleet.offer(tracker.port, KEY)
    assert is_free(workdir)


def test_a_board_that_somebody_holds_is_named(board, workdir, files):
    deadline = Deadline.after(30)
    with (
        held(LocalTransport(), str(workdir), 60, "another tuning", deadline),
        pytest.raises(LeaseError, match=r"device 'board': .* held by .*another tuning"),
        holding([board], HOST, files=files),
    ):
        pass


def test_a_board_whose_lease_is_lost_measures_no_more(tracker, board, workdir, files, monkeypatch):
    monkeypatch.setattr("edgepose.tuning.fleet._RENEW_S", 0.2)
    with measuring([board], HOST, tracker.port, KEY, files=files) as fleet:
        session = tracker.session(KEY)
        echo(session)
        for holder in workdir.glob("lease/*/holder.json"):
            holder.unlink()
        assert wait_for(lambda: fleet.boards[0].gone)
        assert fleet.boards[0].state == "stopped"
        assert "has expired or was taken over" in fleet.boards[0].detail
        with session, pytest.raises(ConnectionError):
            receive(session, 1)


def test_the_lease_lasts_as_long_as_the_tuning(board, workdir, files, monkeypatch):
    monkeypatch.setattr("edgepose.tuning.fleet._LEASE_S", 2)
    monkeypatch.setattr("edgepose.tuning.fleet._RENEW_S", 0.3)
    with holding([board], HOST, files=files):
        threading.Event().wait(4)
        with pytest.raises(EdgePoseError, match="held by"):
            acquire(LocalTransport(), str(workdir), 60, "thief", Deadline.after(30))
    assert is_free(workdir)
