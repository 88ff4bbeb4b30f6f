"""The emulated phone: through adb's plain client, and as edgepose sees it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgepose.cli.main import main
from edgepose.deadline import Deadline
from edgepose.devices.adb import AdbTransport
from edgepose.devices.cache import ensure_cached
from edgepose.devices.connect import workdir_of
from edgepose.devices.lease import held
from edgepose.errors import DeviceError, DeviceFullError, LeaseError, UnreachableError
from edgepose.files import sha256_file
from tests.emulation.conftest import phone_entry
from tests.emulation.phone import Phone, running_phone, start_phone
from tests.emulation.phone_adb import AdbServer
from tests.emulation.phone_process import REPOSITORY
from tests.emulation.ports import HOST
from tests.emulation.processes import descendants
from tests.emulation.requirements import EmulationError

BOOT_ID = "/proc/sys/kernel/random/boot_id"
TMP = "/data/local/tmp"


@pytest.fixture
def deadline() -> Deadline:
    return Deadline.after(120)


@pytest.fixture
def transport(phone: Phone) -> AdbTransport:
    return AdbTransport(phone_entry(phone))


@pytest.fixture
def own_phone(adb_server: AdbServer, tmp_path: Path) -> Iterator[Phone]:
    """A phone of this test alone, to be broken."""
    with running_phone(tmp_path / "own-phone") as phone:
        yield phone


def said(transport: AdbTransport, command: str, deadline: Deadline) -> str:
    done = transport.run(["sh", "-c", command], deadline)
    assert done.returncode == 0, done.stderr
    return done.text


def wait_for(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_a_phone_runs_arm64_programs_as_the_user_shell(
    transport: AdbTransport, deadline: Deadline
) -> None:
    assert said(transport, "uname -rm; id -u; pwd; echo $ANDROID_ROOT", deadline).split() == [
        "4.19.110-perf",
        "aarch64",
        "2000",
        "/",
        "/system",
    ]
    assert said(transport, "grep -c 'CPU part.*0x804' /proc/cpuinfo", deadline) == "4"
    assert "asimdhp" in said(transport, "grep Features /proc/cpuinfo", deadline)


def test_androids_tools_say_what_the_test_sets(
    phone: Phone, transport: AdbTransport, deadline: Deadline
) -> None:
    tools = (
        "getprop ro.soc.model; getprop no.such default; getprop no.such; "
        "dumpsys battery | grep -E 'level|USB'; dumpsys thermalservice | grep '^Thermal Status'; "
        "settings get global low_power; settings get global absent"
    )
    before = said(transport, tools, deadline)
    phone.set_property("ro.soc.model", "SM8150")
    phone.set_battery(15, charging=False)
    phone.set_thermal_status(3)
    phone.set_setting("global", "low_power", "1")
    try:
        words = said(transport, tools, deadline).replace("\n", " ")
        assert "SM8150 default" in words and "USB powered: false   level: 15" in words
        assert "Thermal Status: 3 1 null" in words
    finally:
        phone.reset()
    assert said(transport, tools, deadline) == before
    assert "[ro.soc.model]: [SM8250]" in said(transport, "getprop", deadline)
    assert transport.run(["dumpsys", "absent"], deadline).returncode == 20


def test_programs_run_below_data_and_not_on_the_sdcard(
    transport: AdbTransport, tmp_path: Path, deadline: Deadline
) -> None:
    program = tmp_path / "program"
    program.write_text("#!/system/bin/sh\necho ran; exec sleep 0.1\n")
    program.chmod(0o755)
    for folder in (TMP, "/sdcard"):
        transport.put(program, f"{folder}/program", deadline)
    assert transport.run([f"{TMP}/program"], deadline).text == "ran"
    assert transport.run(["/sdcard/program"], deadline).returncode == 126
    transport.start([f"{TMP}/program"], f"{TMP}/log", deadline)
    with pytest.raises(DeviceError, match="/sdcard") as caught:
        transport.start(["/sdcard/program"], f"{TMP}/log", deadline)
    assert TMP in caught.value.hint
    transport.run(["rm", "/sdcard/program", f"{TMP}/program", f"{TMP}/log"], deadline)


def test_the_system_cannot_be_written(transport: AdbTransport, deadline: Deadline) -> None:
    for folder in ("/", "/system/bin", "/vendor", "/usr", "/sys"):
        done = transport.run(["touch", f"{folder}/mark"], deadline)
        assert done.returncode == 1, folder
        assert b"Read-only" in done.stderr or b"denied" in done.stderr


def test_files_are_sent_once(
    phone: Phone, transport: AdbTransport, tmp_path: Path, deadline: Deadline
) -> None:
    file = tmp_path / "weights"
    file.write_bytes(os.urandom(3_000_000))
    digest = sha256_file(file)
    workdir = workdir_of(phone_entry(phone), transport, deadline)
    assert workdir == f"{TMP}/edgepose"
    paths = ensure_cached(transport, workdir, {digest: file}, deadline)
    made = said(transport, f"stat -c %i {paths[digest]}", deadline)
    ensure_cached(transport, workdir, {digest: file}, deadline)
    assert said(transport, f"stat -c %i {paths[digest]}", deadline) == made
    back = tmp_path / "back"
    transport.get(paths[digest], back, deadline)
    assert sha256_file(back) == digest


def test_a_phone_is_leased_to_one_at_a_time(
    phone: Phone, transport: AdbTransport, deadline: Deadline
) -> None:
    other = AdbTransport(phone_entry(phone))
    folder = f"{TMP}/leased"
    with (
        held(transport, folder, 60, "first", deadline),
        pytest.raises(LeaseError, match="first"),
        held(other, folder, 60, "second", deadline),
    ):
        pass
    with held(other, folder, 60, "second", deadline):
        pass


def test_a_full_phone_is_named_and_keeps_no_partial_file(
    adb_server: AdbServer, tmp_path: Path, deadline: Deadline
) -> None:
    (tmp_path / "big").write_bytes(b"x" * 8_000_000)
    with running_phone(tmp_path / "small", data_size_mib=4) as phone:
        transport = AdbTransport(phone_entry(phone))
        with pytest.raises(DeviceFullError, match="No space"):
            transport.put(tmp_path / "big", f"{TMP}/big", deadline)
        assert said(transport, f"ls -A {TMP}", deadline) == ""
        with pytest.raises(DeviceFullError, match="MiB free"):
            digest = sha256_file(tmp_path / "big")
            ensure_cached(transport, f"{TMP}/edgepose", {digest: tmp_path / "big"}, deadline)


def test_a_pulled_cable_leaves_detached_processes_alone(
    own_phone: Phone, deadline: Deadline
) -> None:
    transport = AdbTransport(phone_entry(own_phone))
    pid = transport.start(["sleep", "600"], f"{TMP}/log", deadline)
    own_phone.kill_sessions()
    assert said(transport, f"kill -0 {pid} && echo alive", deadline) == "alive"
    transport.run(["kill", str(pid)], deadline)
    # A zombie would be taken for alive.
    wait_for(lambda: transport.run(["kill", "-0", str(pid)], deadline).returncode != 0)


def test_a_restart_ends_everything_but_keeps_the_files(
    own_phone: Phone, deadline: Deadline
) -> None:
    transport = AdbTransport(phone_entry(own_phone))
    pid = transport.start(["sleep", "600"], f"{TMP}/log", deadline)
    before = said(transport, f"echo kept > {TMP}/note; cat {BOOT_ID}", deadline)
    serial = own_phone.serial
    own_phone.power_off()
    with pytest.raises(UnreachableError, match=serial):
        transport.run(["true"], deadline)
    own_phone.power_on()
    assert own_phone.serial == serial
    note, after = said(transport, f"cat {TMP}/note {BOOT_ID}", deadline).split()
    assert note == "kept"
    assert after != before
    assert transport.run(["kill", "-0", str(pid)], deadline).returncode != 0


def test_nothing_of_a_phone_outlives_it(own_phone: Phone, deadline: Deadline) -> None:
    transport = AdbTransport(phone_entry(own_phone))
    transport.start(["sleep", "600"], f"{TMP}/log", deadline)
    assert own_phone.pid is not None
    everything = [own_phone.pid, *(each.pid for each in descendants(own_phone.pid))]
    assert len(everything) > 3
    own_phone.power_off()
    assert not [pid for pid in everything if Path(f"/proc/{pid}").exists()]


def test_a_phone_goes_down_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from tests.emulation.phone import *\n"
        "phone = start_phone(Path(sys.argv[1])); print(phone.pid, flush=True); time.sleep(600)"
    )
    argv = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{pid}").exists())


def test_a_scratch_folder_serves_one_phone_at_a_time(own_phone: Phone) -> None:
    with pytest.raises(EmulationError, match="already uses"):
        start_phone(own_phone.scratch)


def test_a_taken_port_is_reported(tmp_path: Path) -> None:
    with (
        socket.create_server((HOST, 0)) as taken,
        pytest.raises(EmulationError, match="address already in use"),
    ):
        start_phone(tmp_path, port=taken.getsockname()[1])
    start_phone(tmp_path).power_off()


def test_a_phone_is_added_with_the_target_that_it_names(
    phone: Phone, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add = ["device", "add", "pixel", "--adb", phone.serial, "--emulated"]
    assert main(add) == 0
    printed = capsys.readouterr().out
    assert "edgepose Emulated 865" in printed and "SM8250 or kona" in printed
    assert "Android 11" in printed and "next: edgepose device doctor pixel" in printed
    assert tomllib.loads((workplace / "devices.toml").read_text()) == {
        "pixel": {
            "target": "snapdragon-865",
            "transport": "adb",
            "serial": phone.serial,
            "emulated": True,
        }
    }
    assert main(["device", "list"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert "snapdragon-865 (emulated)" in line and phone.serial in line
    assert main(["device", "show", "pixel", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["serial"] == phone.serial


def test_the_only_phone_needs_no_serial(
    phone: Phone,
    adb_server: AdbServer,
    workplace: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    adb_server.adb("disconnect")
    assert main(["device", "add", "pixel", "--adb"]) == 6
    assert "no device" in capsys.readouterr().err
    adb_server.adb("connect", phone.serial)
    assert main(["device", "add", "pixel", "--adb"]) == 0
    with running_phone(tmp_path / "second") as second:
        adb_server.adb("connect", second.serial)
        assert main(["device", "add", "other", "--adb"]) == 2
        said_of_two = capsys.readouterr().err
        assert phone.serial in said_of_two and second.serial in said_of_two
        adb_server.adb("disconnect", second.serial)


def test_an_unknown_chip_needs_a_target_from_the_user(
    phone: Phone, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ro.soc.model", "ro.board.platform", "ro.product.board"):
        phone.set_property(name, "gs101")
    try:
        add = ["device", "add", "pixel", "--adb", phone.serial]
        assert main(add) == 6
        told = capsys.readouterr().err
        assert "gs101 or qcom" in told and "--target" in told
        assert not (workplace / "devices.toml").exists()
        assert main([*add, "--target", "snapdragon-855"]) == 0
    finally:
        phone.reset()


def test_the_doctor_reaches_a_phone(
    phone: Phone, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["device", "add", "pixel", "--adb", phone.serial, "--emulated"]) == 0
    capsys.readouterr()
    main(["device", "doctor", "pixel", "--json"])
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert phone.serial in checks["reachable"]["text"] and "host key" not in checks
    assert checks["reachable"]["verdict"] == "PASS"
    assert checks["emulation"]["verdict"] == "INFO"


def test_an_unauthorized_phone_is_accepted_on_its_screen(
    own_phone: Phone, deadline: Deadline
) -> None:
    own_phone.set_authorized(False)
    transport = AdbTransport(phone_entry(own_phone))
    with pytest.raises(DeviceError, match="has not accepted"):
        transport.connect(deadline)
    own_phone.set_authorized(True)
    wait_for(lambda: _answers(transport))


def _answers(transport: AdbTransport) -> bool:
    try:
        return transport.run(["true"], Deadline.after(20)).returncode == 0
    except DeviceError:
        return False
