"""What only adb can get wrong: states, serials, the server between us, and dying links."""

import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from edgepose.deadline import Deadline
from edgepose.devices.adb import AdbTransport
from edgepose.devices.connect import connect, workdir_of
from edgepose.devices.doctor import examine
from edgepose.devices.phone import identify
from edgepose.errors import AuthenticationError, DeviceError, UnreachableError
from tests.devices.adb_phone import plain_phone
from tests.emulation.faulty_proxy import FaultyProxy
from tests.emulation.phone_identity import SNAPDRAGON_865
from tests.emulation.ports import HOST


@pytest.fixture
def proxy(adb_phone):
    with FaultyProxy(HOST, adb_phone.port) as proxy:
        yield proxy


@pytest.fixture
def through_proxy(adb_phone, proxy):
    return AdbTransport(adb_phone.device(serial=f"{HOST}:{proxy.port}"))


@pytest.fixture
def noexec_folder(tmp_path):
    folder = tmp_path / "shared-storage"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,noexec", "edgepose-test", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a file system can only be mounted by root; see also tests/emulation")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def wait_for(condition, seconds=15.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_a_link_lost_in_mid_command_is_never_a_success(
    adb_phone, adb_server, adb_transport, tmp_path, deadline
):
    begun = tmp_path / "begun"
    argv = ["sh", "-c", f"echo half; touch {begun}; sleep 30; echo whole"]

    def cut():
        wait_for(begun.exists)
        adb_phone.tell(cut=True)

    cutter = threading.Thread(target=cut)
    cutter.start()
    with pytest.raises(UnreachableError, match=adb_phone.serial):
        adb_transport.run(argv, deadline)
    cutter.join()
    assert adb_transport.run(["echo", "back"], deadline).text == "back"

    # Why the transport does not believe adb: half an output, and success.
    begun.unlink()
    cutter = threading.Thread(target=cut)
    cutter.start()
    done = adb_server.adb("-s", adb_phone.serial, "shell", "-T", "-n", " ".join(argv[:2]), argv[2])
    cutter.join()
    assert done.returncode == 0
    assert "whole" not in done.stdout


def test_what_a_command_leaves_behind_may_still_speak(adb_transport, deadline):
    script = "(sleep 0.5; echo late; printf 'x\\n1 0\\n') & echo now; exit 3"
    completed = adb_transport.run(["sh", "-c", script], deadline)
    assert (completed.returncode, completed.stdout) == (3, b"now\nlate\nx\n1 0\n")


def test_a_phone_that_went_is_unreachable_until_it_comes_back(adb_phone, adb_transport, deadline):
    assert adb_transport.run(["echo", "here"], deadline).text == "here"
    adb_phone.stop()
    for _ in range(2):
        with pytest.raises(UnreachableError, match=adb_phone.serial) as caught:
            adb_transport.run(["true"], deadline)
        assert caught.value.hint
    adb_phone.start()
    assert adb_transport.run(["echo", "back"], deadline).text == "back"


def test_a_restarted_server_is_told_of_the_phone_again(adb_server, adb_transport, deadline):
    adb_transport.run(["true"], deadline)
    adb_server.kill()
    assert adb_transport.run(["echo", "back"], deadline).text == "back"


def test_a_link_that_falls_silent_ends_at_the_deadline(through_proxy, proxy, deadline):
    through_proxy.run(["true"], deadline)
    proxy.stall()
    began = time.monotonic()
    with pytest.raises(UnreachableError, match="before the deadline"):
        through_proxy.run(["true"], Deadline.after(2))
    assert time.monotonic() - began < 4
    with pytest.raises(UnreachableError):
        through_proxy.run(["true"], Deadline.after(2))
    proxy.resume()
    assert through_proxy.run(["echo", "back"], deadline).text == "back"


def test_a_phone_that_vanishes_in_mid_push_keeps_nothing(through_proxy, proxy, tmp_path, deadline):
    (tmp_path / "there").mkdir()
    source, destination = tmp_path / "source", tmp_path / "there" / "file"
    source.write_bytes(b"x" * 20_000_000)
    through_proxy.run(["true"], deadline)
    proxy.reset_after(6_000_000)
    with pytest.raises(UnreachableError):
        through_proxy.put(source, str(destination), deadline)
    wait_for(lambda: not list(destination.parent.iterdir()))
    through_proxy.put(source, str(destination), deadline)
    assert destination.stat().st_size == 20_000_000


def test_a_push_past_its_deadline_is_given_up_and_keeps_nothing(
    through_proxy, proxy, tmp_path, deadline
):
    (tmp_path / "there").mkdir()
    source, destination = tmp_path / "source", tmp_path / "there" / "file"
    source.write_bytes(b"x" * 20_000_000)
    through_proxy.run(["true"], deadline)
    proxy.set_rate(1_000_000)
    began = time.monotonic()
    with pytest.raises(UnreachableError, match="deadline"):
        through_proxy.put(source, str(destination), Deadline.after(3))
    assert time.monotonic() - began < 5
    proxy.set_rate(None)
    wait_for(lambda: not list(destination.parent.iterdir()))
    through_proxy.put(source, str(destination), deadline)
    assert destination.stat().st_size == 20_000_000


def test_a_phone_that_vanishes_in_mid_pull_leaves_nothing_here(
    through_proxy, proxy, tmp_path, deadline
):
    (tmp_path / "here").mkdir()
    source, destination = tmp_path / "source", tmp_path / "here" / "file"
    source.write_bytes(b"x" * 20_000_000)
    through_proxy.run(["true"], deadline)
    proxy.reset_after(6_000_000)
    with pytest.raises(UnreachableError):
        through_proxy.get(str(source), destination, deadline)
    assert list(destination.parent.iterdir()) == []
    through_proxy.get(str(source), destination, deadline)
    assert destination.stat().st_size == 20_000_000


def test_a_folder_is_no_file(adb_transport, tmp_path, deadline):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    with pytest.raises(DeviceError, match="directory"):
        adb_transport.get(str(tmp_path / "folder"), tmp_path / "back", deadline)
    assert not list(tmp_path.glob("back*"))


def test_an_unauthorized_phone_is_used_as_soon_as_its_user_accepts(adb_phone, deadline):
    adb_phone.tell(authorized=False)
    with pytest.raises(AuthenticationError, match=adb_phone.serial) as caught:
        connect(adb_phone.device(), deadline)
    assert "accept" in caught.value.hint
    adb_phone.tell(authorized=True)
    wait_for(lambda: _reached(adb_phone.device()))


def _reached(device):
    try:
        connect(device, Deadline.after(20)).close()
    except DeviceError:
        return False
    return True


@pytest.mark.parametrize("state", ["recovery", "sideload"])
def test_a_phone_that_does_not_run_android_is_refused(adb_phone, deadline, state):
    adb_phone.tell(banner=SNAPDRAGON_865.banner(state))
    with pytest.raises(UnreachableError, match=state) as caught:
        connect(adb_phone.device(), deadline)
    assert "adb reboot" in caught.value.hint


def test_an_adb_without_separate_streams_is_too_old(adb_phone, deadline):
    adb_phone.tell(banner=SNAPDRAGON_865.banner().replace("shell_v2,", ""))
    with pytest.raises(DeviceError, match="too old") as caught:
        connect(adb_phone.device(), deadline)
    assert "Android 7" in caught.value.hint


def test_an_unknown_serial_names_the_phones_that_are_there(adb_phone, adb_transport, deadline):
    adb_transport.connect(deadline)
    with pytest.raises(UnreachableError, match="R58N12ABCDE") as caught:
        connect(adb_phone.device(serial="R58N12ABCDE"), deadline)
    assert f"{adb_phone.serial} (device)" in str(caught.value)


def test_an_address_where_nobody_answers_says_so(adb_phone, deadline):
    with pytest.raises(UnreachableError, match="refused"):
        connect(adb_phone.device(serial=f"{HOST}:9"), deadline)


def test_without_adb_the_error_says_how_to_get_it(adb_phone, tmp_path, monkeypatch, deadline):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnreachableError, match="not installed") as caught:
        connect(adb_phone.device(), deadline)
    assert "apt install adb" in caught.value.hint


def test_two_phones_are_kept_apart(adb_phone, tmp_path, deadline):
    with plain_phone(tmp_path / "second") as second:
        first = AdbTransport(adb_phone.device())
        other = AdbTransport(second.device())
        for _ in range(2):
            assert other.run(["sh", "-c", "echo $PHONE"], deadline).text == "second"
            assert first.run(["sh", "-c", "echo $PHONE"], deadline).text != "second"
        second.stop()
        with pytest.raises(UnreachableError):
            other.run(["true"], deadline)
        assert first.run(["echo", "here"], deadline).text == "here"


def test_many_may_connect_to_one_phone_at_once(adb_server, adb_phone, deadline):
    def speak(word):
        for _ in range(3):
            answer = AdbTransport(adb_phone.device()).run(["echo", word], deadline)
            assert answer.text == word

    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            adb_server.adb("disconnect")
            list(pool.map(speak, "abcdefgh"))


def test_a_folder_where_nothing_may_be_executed_is_named(
    adb_transport, noexec_folder, tmp_path, deadline
):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    adb_transport.put(program, str(noexec_folder / "program"), deadline)
    argv = [str(noexec_folder / "program")]
    assert adb_transport.run(argv, deadline).returncode == 126
    with pytest.raises(DeviceError, match=str(noexec_folder)) as caught:
        adb_transport.start(argv, str(tmp_path / "log"), deadline)
    assert "/data/local/tmp" in caught.value.hint


def test_edgepose_lives_where_a_phone_lets_programs_run(adb_phone, adb_transport, deadline):
    def place(**changes):
        return workdir_of(adb_phone.device(**changes), adb_transport, deadline)

    assert place() == "/data/local/tmp/edgepose"
    assert place(workdir="/data/local/tmp/mine/") == "/data/local/tmp/mine"


def test_a_device_without_properties_is_no_phone(adb_phone, deadline):
    with pytest.raises(DeviceError, match="Android"):
        identify(adb_phone.device(target=""), deadline)


def test_the_doctor_says_how_far_it_came(adb_phone):
    adb_phone.tell(authorized=False)
    refused = examine(adb_phone.device())[-1]
    assert (refused.name, refused.verdict) == ("login", "CRITICAL")
    adb_phone.stop()
    gone = examine(adb_phone.device())[-1]
    assert (gone.name, gone.verdict) == ("reachable", "CRITICAL")
    assert adb_phone.serial in gone.text
