"""What every transport that can carry a stream promises of a channel."""

import os
import threading
import time
from pathlib import Path

import pytest

from edgepose.deadline import Deadline
from edgepose.devices.adb import AdbTransport
from edgepose.devices.local import LocalTransport
from edgepose.devices.ssh import SshTransport
from edgepose.devices.transport import Channel, Transport
from edgepose.errors import DeviceError, UnreachableError, UsageError
from tests.devices.test_transport_contract import is_running, wait_for
from tests.emulation.faulty_proxy import FaultyProxy

CHUNK = 64 << 10


@pytest.fixture(params=["local", "ssh"])
def transport(request: pytest.FixtureRequest) -> Transport:
    if request.param == "local":
        return LocalTransport()
    found: Transport = request.getfixturevalue("ssh_transport")
    return found


def read_all(channel: Channel) -> bytes:
    output = bytearray()
    while chunk := channel.read(CHUNK):
        output += chunk
    return bytes(output)


def started(transport: Transport, deadline: Deadline, pid_file: Path, then: str) -> Channel:
    """A channel to a shell that has written its process id and does ``then``."""
    script = f'echo $$ > "$1.new"; mv "$1.new" "$1"; {then}'
    channel = transport.open(["sh", "-c", script, "x", str(pid_file)], deadline)
    assert wait_for(pid_file.exists)
    return channel


def test_random_bytes_pass_intact_both_ways_and_the_end_of_input_ends_the_program(
    transport, deadline
):
    data = os.urandom(10 << 20)
    channel = transport.open(["cat"], deadline)

    def send() -> None:
        for start in range(0, len(data), CHUNK):
            channel.write(data[start : start + CHUNK])
        channel.end_input()

    sender = threading.Thread(target=send)
    sender.start()
    received = read_all(channel)
    sender.join()
    assert received == data
    assert channel.returncode(deadline) == 0
    channel.close()


def test_nothing_waits_in_a_buffer(transport, deadline):
    channel = transport.open(["cat"], deadline)
    for word in (b"a", b"bc", b"\0\xff\n"):
        channel.write(word)
        assert channel.read(CHUNK) == word
    channel.close()


def test_close_kills_a_program_that_does_not_read(transport, tmp_path, deadline):
    channel = started(transport, deadline, tmp_path / "pid", "exec sleep 600")
    assert channel.returncode(Deadline.after(0.2)) is None
    channel.close()
    pid = int((tmp_path / "pid").read_text())
    assert wait_for(lambda: not is_running(pid), 5)


def test_close_ends_a_read_and_a_write_that_wait_in_other_threads(transport, deadline):
    channel = transport.open(["sleep", "600"], deadline)
    ends = []

    def write() -> None:
        with pytest.raises((DeviceError, UnreachableError)):
            while True:
                channel.write(bytes(CHUNK))
        ends.append("write")

    def read() -> None:
        assert channel.read(CHUNK) == b""
        ends.append("read")

    threads = [threading.Thread(target=work) for work in (read, write)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    assert not ends
    channel.close()
    for thread in threads:
        thread.join(10)
    assert sorted(ends) == ["read", "write"]


def test_a_program_that_is_killed_is_seen_with_its_last_words(transport, tmp_path, deadline):
    then = "echo last words >&2; sleep 0.2; kill -9 $$"
    channel = started(transport, deadline, tmp_path / "pid", then)
    assert channel.read(CHUNK) == b""
    returncode = channel.returncode(deadline)
    assert returncode == -1 or returncode >= 128
    assert channel.stderr_tail() == "last words"
    channel.close()
    with pytest.raises(DeviceError):
        channel.write(b"late")


def test_much_on_standard_error_does_not_block_and_its_end_is_kept(transport, deadline):
    script = "head -c 20000000 /dev/zero >&2; echo the end >&2; echo done"
    channel = transport.open(["sh", "-c", script], deadline)
    assert read_all(channel) == b"done\n"
    channel.close()
    assert channel.stderr_tail().endswith("the end")


def test_a_missing_program_is_an_error_that_names_it(transport, deadline):
    with pytest.raises(DeviceError, match="edgepose-no-such-command"):
        transport.open(["edgepose-no-such-command"], deadline)
    with pytest.raises(UsageError):
        transport.open([], deadline)


def test_a_closed_channel_leaves_no_thread(transport, deadline):
    transport.run(["true"], deadline)
    before = threading.active_count()
    for _ in range(3):
        channel = transport.open(["cat"], deadline)
        channel.close()
        channel.close()
    assert wait_for(lambda: threading.active_count() <= before, 5)


def test_a_link_that_dies_is_told_from_the_end_of_the_program(ssh_server, home, tmp_path, deadline):
    with FaultyProxy("127.0.0.1", ssh_server.port) as proxy:
        transport = SshTransport(ssh_server.device(port=proxy.port))
        channel = transport.open(["cat"], deadline)
        proxy.reset()
        with pytest.raises(UnreachableError, match=r"link to [^ ]+ was lost"):
            channel.read(CHUNK)
        assert channel.returncode(Deadline.after(1)) is None
        channel.close()
        again = transport.open(["echo", "back"], deadline)
        assert read_all(again) == b"back\n"
        again.close()
        transport.close()


def test_adb_says_that_it_cannot(adb_transport: AdbTransport, deadline):
    with pytest.raises(DeviceError, match="tuning over adb is not possible yet"):
        adb_transport.open(["cat"], deadline)
