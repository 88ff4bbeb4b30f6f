"""What every transport promises; each test runs against all of them."""

import os
import time
from pathlib import Path

import pytest

from edgepose.deadline import Deadline
from edgepose.devices.local import LocalTransport
from edgepose.devices.transport import Transport
from edgepose.errors import DeviceError, DeviceFullError, UnreachableError, UsageError

HOSTILE = [
    "plain",
    "",
    "two words",
    "'single' and \"double\"",
    "line\nbreak\ttab",
    "; rm -rf /",
    "$(reboot) `reboot` ${HOME} $HOME",
    "-n",
    "--",
    "*?[a]~",
    "back\\slash \\n",
    "grüße 日本 🤸",
    "!history & | > <",
]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_for(condition, seconds: float = 15.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("status", [0, 1, 3, 255])
def test_an_exit_status_is_returned_and_not_raised(transport, deadline, status):
    completed = transport.run(["sh", "-c", f"exit {status}"], deadline)
    assert completed.returncode == status
    assert completed.argv == ("sh", "-c", f"exit {status}")


def test_output_and_errors_come_back_as_separate_bytes(transport, deadline):
    completed = transport.run(
        ["sh", "-c", r"printf 'a\000\377\n'; printf 'b\200' >&2; printf c"], deadline
    )
    assert completed.stdout == b"a\0\xff\nc"
    assert completed.stderr == b"b\x80"


def test_much_output_on_both_streams_at_once_does_not_block(transport, deadline):
    script = "head -c 3000000 /dev/zero >&2 & head -c 20000000 /dev/zero; wait"
    completed = transport.run(["sh", "-c", script], deadline)
    assert (len(completed.stdout), len(completed.stderr)) == (20_000_000, 3_000_000)


@pytest.mark.parametrize("argument", HOSTILE)
def test_hostile_arguments_arrive_as_they_are(transport, deadline, argument):
    completed = transport.run(["printf", "%s|%s", argument, "end"], deadline)
    assert completed.stdout.decode() == f"{argument}|end"
    assert completed.returncode == 0


def test_a_command_gets_an_empty_input(transport, deadline):
    assert transport.run(["cat"], deadline).stdout == b""


def test_a_missing_command_has_the_status_of_a_shell(transport, deadline):
    completed = transport.run(["edgepose-no-such-command"], deadline)
    assert completed.returncode == 127
    assert b"edgepose-no-such-command" in completed.stderr


def test_a_killed_command_is_told_by_its_status(transport, deadline):
    completed = transport.run(["sh", "-c", "kill -9 $$"], deadline)
    assert completed.returncode == -1 or completed.returncode >= 128


@pytest.mark.parametrize("argv", [[], [""], "true", ["a\0b"]])
def test_a_command_that_cannot_be_sent_is_refused(transport, deadline, argv):
    with pytest.raises(UsageError):
        transport.run(argv, deadline)


def test_a_command_past_its_deadline_is_unreachable(transport: Transport):
    began = time.monotonic()
    with pytest.raises(UnreachableError):
        transport.run(["sleep", "8"], Deadline.after(3))
    assert 2.5 < time.monotonic() - began < 5


def test_a_command_past_its_deadline_is_killed(transport: Transport, tmp_path):
    if not isinstance(transport, LocalTransport):
        pytest.skip("neither OpenSSH nor adb makes sure that a command ends")
    pid_file = tmp_path / "pid"
    script = f"echo $$ > {pid_file}; exec sleep 600"
    with pytest.raises(UnreachableError):
        transport.run(["sh", "-c", script], Deadline.after(3))
    pid = int(pid_file.read_text())
    assert wait_for(lambda: not is_running(pid))


def test_the_transport_is_of_use_after_a_deadline(transport: Transport, deadline):
    with pytest.raises(UnreachableError):
        transport.run(["sleep", "6"], Deadline.after(1.5))
    assert transport.run(["echo", "back"], deadline).text == "back"


def test_an_expired_deadline_is_unreachable_at_once(transport: Transport):
    with pytest.raises(UnreachableError):
        transport.run(["sleep", "1"], Deadline.after(0))


def test_a_started_process_survives_the_transport(transport: Transport, tmp_path, deadline):
    log, marker = tmp_path / "out.log", tmp_path / "marker"
    script = 'echo started; echo problem >&2; sleep 2; echo "$1" > "$2"; exec sleep 600'
    pid = transport.start(["sh", "-c", script, "x", "it's done", str(marker)], str(log), deadline)
    try:
        transport.close()
        assert wait_for(marker.exists)
        assert marker.read_text() == "it's done\n"
        assert is_running(pid)
        assert log.read_text() == "started\nproblem\n"
        assert os.getsid(pid) == pid
        # The id is the command's own: exec made it `sleep`.
        assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x00600\x00"
        assert Path(f"/proc/{pid}/fd/0").readlink() == Path("/dev/null")
    finally:
        os.killpg(pid, 9)


def test_start_returns_while_the_process_runs(transport: Transport, tmp_path, deadline):
    began = time.monotonic()
    pid = transport.start(["sleep", "600"], str(tmp_path / "log"), deadline)
    assert time.monotonic() - began < 10
    transport.run(["kill", "-9", str(pid)], deadline)
    assert wait_for(lambda: not is_running(pid))


def test_starting_a_missing_command_is_an_error(transport: Transport, tmp_path, deadline):
    with pytest.raises(DeviceError, match="edgepose-no-such-command"):
        transport.start(["edgepose-no-such-command"], str(tmp_path / "log"), deadline)
    with pytest.raises(DeviceError, match="no-folder"):
        transport.start(["true"], str(tmp_path / "no-folder" / "log"), deadline)


def test_a_file_goes_there_and_back(transport: Transport, tmp_path, deadline):
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3_000_001))
    source.chmod(0o755)
    there, back = tmp_path / "there it's", tmp_path / "back"
    transport.put(source, str(there), deadline)
    assert there.read_bytes() == source.read_bytes()
    assert there.stat().st_mode & 0o777 == 0o755
    transport.get(str(there), back, deadline)
    assert back.read_bytes() == source.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "back",
        "source",
        "there it's",
    ]


def test_an_empty_file_goes_there_and_back(transport: Transport, tmp_path, deadline):
    (tmp_path / "empty").touch()
    transport.put(tmp_path / "empty", str(tmp_path / "there"), deadline)
    transport.get(str(tmp_path / "there"), tmp_path / "back", deadline)
    assert (tmp_path / "back").read_bytes() == b""


def test_an_upload_replaces_what_was_there(transport: Transport, tmp_path, deadline):
    (tmp_path / "source").write_text("new")
    (tmp_path / "there").write_text("old")
    transport.put(tmp_path / "source", str(tmp_path / "there"), deadline)
    assert (tmp_path / "there").read_text() == "new"


@pytest.mark.parametrize("destination", ["no-folder/file", "folder"])
def test_a_failed_upload_leaves_nothing_behind(transport, tmp_path, deadline, destination):
    (tmp_path / "folder").mkdir()
    (tmp_path / "source").write_bytes(b"x" * 1_000_000)
    with pytest.raises(DeviceError, match=destination):
        transport.put(tmp_path / "source", str(tmp_path / destination), deadline)
    assert list((tmp_path / "folder").iterdir()) == []
    assert not list(tmp_path.rglob("*.part-*"))


def test_a_missing_file_is_an_error_that_names_it(transport: Transport, tmp_path, deadline):
    with pytest.raises(DeviceError, match="absent"):
        transport.get(str(tmp_path / "absent"), tmp_path / "back", deadline)
    with pytest.raises(DeviceError, match="no-source"):
        transport.put(tmp_path / "no-source", str(tmp_path / "there"), deadline)
    assert not list(tmp_path.glob("back*"))


def test_relative_paths_are_refused(transport: Transport, tmp_path, deadline):
    (tmp_path / "source").touch()
    with pytest.raises(UsageError):
        transport.put(tmp_path / "source", "there", deadline)
    with pytest.raises(UsageError):
        transport.get("there", tmp_path / "back", deadline)


def test_a_full_disk_is_named_and_the_partial_file_removed(
    transport: Transport, tmp_path, small_disk, deadline
):
    (tmp_path / "source").write_bytes(b"x" * 8_000_000)
    with pytest.raises(DeviceFullError):
        transport.put(tmp_path / "source", str(small_disk / "there"), deadline)
    assert wait_for(lambda: list(small_disk.iterdir()) == [])
