"""Work in a process of its own: what comes back, and that nothing stays behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgepose.deadline import Deadline
from edgepose.engines.tvm.process import Event, run_child
from edgepose.errors import BuildError, UnsupportedModelError

CHILD = "tests.engines.tvm_child"


def run(folder: Path, behaviour: str, timeout_s: float = 60) -> list[Event]:
    events: list[Event] = []
    deadline = Deadline.after(timeout_s)
    run_child(CHILD, [behaviour], folder, deadline, doing="the work", on_event=events.append)
    return events


def is_gone(pid: int) -> bool:
    """Within some seconds; an ended process that nobody has waited for yet counts as gone."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_events_arrive_in_order_whatever_else_is_printed(tmp_path: Path) -> None:
    assert run(tmp_path, "reports") == [{"index": 0}, {"index": 1}, {"index": 2}]
    assert (tmp_path / "log.txt").read_text().count("noise") == 2


def test_a_child_that_crashes_is_named_with_its_signal(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="the work died of SIGSEGV") as caught:
        run(tmp_path, "crashes")
    assert caught.value.hint


def test_the_childs_own_error_comes_back_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="no such operator") as caught:
        run(tmp_path, "refuses")
    assert caught.value.hint == "Leave it out."


def test_an_error_of_an_earlier_child_in_the_folder_is_forgotten(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError):
        run(tmp_path, "refuses")
    assert len(run(tmp_path, "reports")) == 3


def test_an_accident_in_the_child_is_a_build_error_with_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="the work failed: ValueError: an accident"):
        run(tmp_path, "fails")


def test_torch_is_kept_out_of_the_child(tmp_path: Path) -> None:
    assert run(tmp_path, "imports_torch") == [{"torch": "torch is kept out of this process"}]


def test_a_child_that_takes_too_long_ends_with_all_that_it_started(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="its time was up"):
        run(tmp_path, "hangs", timeout_s=5)
    assert all(map(is_gone, pids(tmp_path)))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_exception_in_the_parent_ends_the_child(
    tmp_path: Path, error: type[BaseException]
) -> None:
    def interrupt(event: Event) -> None:
        raise error

    deadline = Deadline.after(60)
    with pytest.raises(error):
        run_child(CHILD, ["hangs"], tmp_path, deadline, doing="the work", on_event=interrupt)
    assert time.monotonic() < deadline.at_s - 20


def test_the_child_does_not_outlive_a_parent_that_was_killed(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path\n"
        "from edgepose.deadline import Deadline\n"
        "from edgepose.engines.tvm.process import run_child\n"
        f"folder = Path({str(tmp_path)!r})\n"
        f"run_child({CHILD!r}, ['hangs'], folder, Deadline.after(600), doing='the work')\n"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as parent:
        wait_for(lambda: (tmp_path / "workers").is_file() and len(pids(tmp_path)) == 2)
        parent.send_signal(signal.SIGKILL)
    assert all(map(is_gone, pids(tmp_path)))


def pids(folder: Path) -> list[int]:
    return [int(word) for word in (folder / "workers").read_text().split()]


def wait_for(true: Callable[[], bool]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing happened; load {os.getloadavg()}")
