"""What goes wrong in the middle of a measurement on a board, and what the same command does then.

No test looks at how long an inference took: under emulation that says nothing.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgepose import bench
from edgepose.bench.preflight import HOT_C, cool_down
from edgepose.bench.record import Record
from edgepose.bundle import Bundle
from edgepose.devices.ssh import SshTransport
from edgepose.errors import RunError, UnreachableError
from tests.bench.under_way import pending, wait_for
from tests.emulation.board import Board
from tests.emulation.conftest import entry
from tests.emulation.processes import command_line, descendants, kill
from tests.tiny_bundles import build_tiny

SECONDS = 15.0  # long enough that a run can be met in its middle


@pytest.fixture(scope="module")
def net(own_places: None, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A net that takes a fraction of a second on the board."""
    return build_tiny(tmp_path_factory.mktemp("net"), "net", channels=64, target="rpi4")


def measure(net: Bundle) -> Record:
    return bench(net, "emu", "paper", threads=1, budget_s=SECONDS)


@contextmanager
def meanwhile(disturb: Callable[[], object]) -> Iterator[None]:
    """Do something beside the block; what goes wrong there fails the test."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            disturb()
        except BaseException as error:  # noqa: BLE001 - it is raised below
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert not failures, failures


def run_under_way(board: Board) -> Path:
    """The result file of the timed run, once the runner has written its header."""

    def find() -> Path | None:
        results = (board.home / ".edgepose" / "runs").glob("*-p0/result.jsonl")
        return next((path for path in results if path.stat().st_size), None)

    return wait_for(find, 120)


def runner_on(board: Board) -> int:
    """The host's process id of the timed run's runner."""
    for process in descendants(board.pid):
        words = command_line(process)
        if words[-1].endswith(b"-p0") and b"-c" not in words:
            return process.pid
    raise AssertionError("no runner is there")


def assert_whole(record: Record) -> None:
    assert [len(run.samples_ns) for run in record.runs] == [record.effort.runs]
    assert record.proof.passed
    assert record.emulated


def assert_only_foreign_load(record: Record) -> None:
    assert all(reason.startswith("foreign load:") for reason in record.verdict.reasons)


def test_after_the_connection_was_pulled_the_same_command_gets_the_full_record(
    emu: Board, net: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    given_up = threading.Event()
    headers = []

    def pull() -> None:
        headers.append(run_under_way(emu).read_bytes().splitlines()[0])
        while not given_up.is_set():  # a single cut is bridged: see the next test
            emu.kill_sessions()

    with meanwhile(pull):
        try:
            with pytest.raises(UnreachableError) as caught:
                measure(net)
        finally:
            given_up.set()
    assert "run the same command again to re-attach" in caught.value.hint
    assert len(pending()) == 1
    result = run_under_way(emu)
    session = result.parent.name.removesuffix("-p0")
    kept = emu.home / "kept.jsonl"
    kept.hardlink_to(result)
    sent = files_on(emu)

    with caplog.at_level("INFO", "edgepose"):
        record = measure(net)
    assert f"emu: re-attaching to session {session}" in caplog.text
    assert record.session_id == session
    assert_whole(record)
    assert_only_foreign_load(record)
    # Still what the one runner wrote: it was not started again, and its files were not sent again.
    assert kept.read_bytes().splitlines()[0] == headers[0]
    kept.unlink()
    assert files_on(emu) == sent
    assert not pending()
    assert not list((emu.home / ".edgepose" / "runs").iterdir())


def files_on(board: Board) -> dict[str, tuple[int, int]]:
    """Name → inode and time of change of the files in the board's cache."""
    files = ((path.name, path.stat()) for path in (board.home / ".edgepose/cache").iterdir())
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in files}


def test_one_cut_is_bridged_and_throttling_meanwhile_refuses_the_record(
    emu: Board, net: Bundle
) -> None:
    def disturb() -> None:
        run_under_way(emu)
        emu.kill_sessions()
        emu.set_throttled(0x40000)

    try:
        with meanwhile(disturb):
            record = measure(net)
    finally:
        emu.set_throttled(0)
    assert_whole(record)
    assert not record.verdict.valid
    assert "throttled: the firmware set the bits 0x40000" in record.verdict.reasons
    assert record.facts_before["throttled"] == "0x0"


def test_a_runner_killed_on_the_board_is_named_and_nothing_is_sent_again(
    emu: Board, net: Bundle
) -> None:
    def strike() -> None:
        run_under_way(emu)
        kill([runner_on(emu)])

    with meanwhile(strike), pytest.raises(RunError, match=r"runner of \S+-p0 was killed"):
        measure(net)
    assert not pending()
    assert not list((emu.home / ".edgepose" / "runs").iterdir())
    sent = files_on(emu)
    assert set(net.manifest.files.values()) <= sent.keys()
    record = bench(net, "emu", "paper", threads=1, budget_s=1)
    assert_whole(record)
    assert files_on(emu) == sent


def test_after_a_power_cut_the_same_command_begins_anew(
    emu: Board, net: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = []

    def pull_the_plug() -> None:
        sessions.append(run_under_way(emu).parent.name.removesuffix("-p0"))
        emu.power_cut()

    try:
        with meanwhile(pull_the_plug), pytest.raises(UnreachableError, match="cannot reach"):
            measure(net)
    finally:
        emu.power_on()
    with caplog.at_level("INFO", "edgepose"):
        record = measure(net)
    assert "re-attaching" not in caplog.text
    assert record.session_id != sessions[0]
    assert_whole(record)
    assert_only_foreign_load(record)


def test_a_hot_board_is_waited_for(equipped: Board) -> None:
    transport = SshTransport(entry(equipped))
    equipped.set_temperature(HOT_C)
    cooled = threading.Timer(2, equipped.set_temperature, [HOT_C - 1])
    start = time.monotonic()
    try:
        cooled.start()
        cool_down(transport)
    finally:
        cooled.join()
        equipped.set_temperature(45)
        transport.close()
    assert 2 <= time.monotonic() - start < 60
