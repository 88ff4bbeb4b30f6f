"""Leases: exclusive, expiring, and never stuck."""

import contextlib
import getpass
import json
import multiprocessing
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import msgspec
import pytest

from edgepose.deadline import Deadline
from edgepose.devices.lease import acquire, held, look
from edgepose.devices.lease_state import Holder, State, judge, parse_state
from edgepose.devices.local import LocalTransport
from edgepose.errors import DeviceError, LeaseError

HERE = LocalTransport()


def newest(workdir: Path) -> Path:
    return max((workdir / "lease").iterdir(), key=lambda path: int(path.name))


def change_holder(workdir: Path, **changes: object) -> None:
    path = newest(workdir) / "holder.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_second_one_learns_who_holds_the_device_and_for_how_long(transport, tmp_path, deadline):
    acquire(transport, str(tmp_path), 100, "suite 'night'; rm", deadline)
    with pytest.raises(LeaseError) as caught:
        acquire(transport, str(tmp_path), 100, "another", deadline)
    message = str(caught.value)
    assert f"{getpass.getuser()}@{socket.gethostname()}" in message
    assert str(os.getpid()) in message
    assert "suite 'night'; rm" in message
    assert "1 min" in message
    assert look(transport, str(tmp_path), deadline) is not None


def test_a_released_device_is_free_and_the_number_goes_up(transport, tmp_path, deadline):
    with held(transport, str(tmp_path), 100, "first", deadline) as first:
        pass
    assert look(transport, str(tmp_path), deadline) is None
    with held(transport, str(tmp_path), 100, "second", deadline) as second:
        assert second.number == first.number + 1
        assert [path.name for path in (tmp_path / "lease").iterdir()] == [str(second.number)]


def test_an_expired_lease_is_taken_over_and_its_owner_notices(tmp_path, deadline):
    old = acquire(HERE, str(tmp_path), 100, "old", deadline)
    change_holder(tmp_path, expires_at_s=0)
    new = acquire(HERE, str(tmp_path), 100, "new", deadline)
    with pytest.raises(LeaseError, match="taken over"):
        old.renew(deadline)
    old.release(deadline)
    assert json.loads((newest(tmp_path) / "holder.json").read_text())["purpose"] == "new"
    new.renew(deadline)


def test_a_lease_really_expires(tmp_path, deadline):
    lease = acquire(HERE, str(tmp_path), 1, "short", deadline)
    with pytest.raises(LeaseError, match="held by"):
        acquire(HERE, str(tmp_path), 1, "too early", deadline)
    time.sleep(7)
    with pytest.raises(LeaseError, match="expired"):
        lease.renew(deadline)
    acquire(HERE, str(tmp_path), 1, "now", deadline)


def test_renewing_moves_the_end(tmp_path, deadline):
    lease = acquire(HERE, str(tmp_path), 50, "long", deadline)
    change_holder(tmp_path, expires_at_s=lease.holder.expires_at_s - 40)
    lease.renew(deadline)
    found = json.loads((newest(tmp_path) / "holder.json").read_text())
    assert found["expires_at_s"] == lease.holder.expires_at_s
    assert found["token"] == lease.holder.token


def test_a_lease_of_an_earlier_boot_does_not_count(tmp_path, deadline):
    acquire(HERE, str(tmp_path), 1000, "before the reboot", deadline)
    change_holder(tmp_path, boot_id="another")
    acquire(HERE, str(tmp_path), 1000, "after", deadline)


def test_a_crash_before_the_holder_was_written_locks_only_for_a_while(tmp_path, deadline):
    (tmp_path / "lease" / "7").mkdir(parents=True)
    with pytest.raises(LeaseError, match="right now"):
        acquire(HERE, str(tmp_path), 10, "x", deadline)
    past = time.time() - 60
    os.utime(tmp_path / "lease" / "7", (past, past))
    assert acquire(HERE, str(tmp_path), 10, "x", deadline).number == 8


def test_a_dead_process_of_ours_is_succeeded_at_once(tmp_path, deadline):
    acquire(HERE, str(tmp_path), 1000, "interrupted", deadline)
    dead = subprocess.Popen(["true"])
    dead.wait()
    change_holder(tmp_path, pid=dead.pid)
    acquire(HERE, str(tmp_path), 1000, "again", deadline)


@pytest.mark.parametrize("change", [{"owner": "x@y"}, {"pid_space": "other"}, {"pid": 1}])
def test_a_dead_process_elsewhere_and_a_live_one_here_are_not(tmp_path, deadline, change):
    acquire(HERE, str(tmp_path), 1000, "theirs", deadline)
    dead = subprocess.Popen(["true"])
    dead.wait()
    change_holder(tmp_path, **{"pid": dead.pid, **change})
    with pytest.raises(LeaseError):
        acquire(HERE, str(tmp_path), 1000, "ours", deadline)


def _contend(workdir: str, start: float, results) -> None:
    time.sleep(max(0.0, start - time.time()))
    try:
        lease = acquire(LocalTransport(), workdir, 100, "race", Deadline.after(60))
    except LeaseError:
        results.put(None)
    else:
        # Alive until all have tried: a dead process of ours would be succeeded at once.
        results.put(lease.number)
        time.sleep(3)


@pytest.mark.parametrize("before", ["nothing", "an expired lease"])
def test_of_many_processes_exactly_one_gets_the_device(tmp_path, deadline, before):
    if before == "an expired lease":
        acquire(HERE, str(tmp_path), 100, "old", deadline)
        change_holder(tmp_path, expires_at_s=0)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    start = time.time() + 3
    processes = [
        context.Process(target=_contend, args=(str(tmp_path), start, results)) for _ in range(6)
    ]
    for process in processes:
        process.start()
    numbers = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    results.close()
    results.join_thread()
    assert len([number for number in numbers if number is not None]) == 1


def test_of_many_threads_exactly_one_gets_an_expired_lease_each_time(tmp_path):
    acquire(HERE, str(tmp_path), 100, "old", Deadline.after(60))
    for _ in range(4):
        change_holder(tmp_path, expires_at_s=0)
        winners: list[int] = []

        def contend(found: list[int] = winners) -> None:
            with contextlib.suppress(LeaseError):
                found.append(acquire(HERE, str(tmp_path), 100, "x", Deadline.after(60)).number)

        threads = [threading.Thread(target=contend) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(winners) == 1


def test_a_block_that_fails_releases_and_shows_its_own_error(tmp_path, deadline):
    with (
        pytest.raises(ZeroDivisionError),
        held(HERE, str(tmp_path), 100, "x", deadline),
    ):
        raise ZeroDivisionError
    acquire(HERE, str(tmp_path), 100, "y", deadline)


def test_a_full_disk_gives_no_lease(small_disk, deadline):
    (small_disk / "lease").mkdir()
    subprocess.run(
        ["dd", "if=/dev/zero", f"of={small_disk}/fill", "bs=4096"], capture_output=True, check=False
    )
    with pytest.raises(DeviceError):
        acquire(HERE, str(small_disk), 100, "x", deadline)
    (small_disk / "fill").unlink()
    acquire(HERE, str(small_disk), 100, "x", deadline)


def test_the_judgement_is_a_function_of_what_was_read():
    holder = Holder(
        owner="a@b", pid=1, pid_space="", token="t", purpose="p", boot_id="boot", expires_at_s=100
    )
    state = State("boot", 90, 3, 0, False, holder)
    change = msgspec.structs.replace
    assert "15 s" in (judge(state, lambda _: False) or "")
    assert judge(state, lambda _: True) is None
    assert judge(State("boot", 104, 3, 0, False, holder), lambda _: False) is not None
    assert judge(State("boot", 105, 3, 0, False, holder), lambda _: False) is None
    assert judge(State("boot", 90, 3, 0, True, holder), lambda _: False) is None
    assert judge(State("boot", 90, 0, 0, False, None), lambda _: False) is None
    assert judge(State("boot", 90, 3, 31, False, None), lambda _: False) is None
    assert judge(State("boot", 90, 3, -9, False, None), lambda _: False) is None
    assert judge(State("boot", 90, 3, 0, False, change(holder, boot_id="x")), bool) is None


def test_an_answer_that_makes_no_sense_is_an_error():
    with pytest.raises(DeviceError, match="no sense"):
        parse_state("sh: stat: not found")
