"""The emulated board itself, through the plain OpenSSH client."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.emulation.board import Board, running_board, start_board
from tests.emulation.identity import JETSON_NANO, RPI4
from tests.emulation.processes import descendants
from tests.emulation.requirements import EmulationError

REPOSITORY = Path(__file__).parent.parent.parent
DETACHED = "setsid nohup sleep 600 >/dev/null 2>&1 </dev/null & echo $!"
GOVERNOR = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"


def ssh(board: Board, command: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the board and let its exit status speak."""
    argv = ["ssh", *board.ssh_options(), *options, f"{board.user}@{board.host}", command]
    return subprocess.run(
        argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False
    )


def said(board: Board, command: str) -> str:
    """What a command that must succeed printed."""
    done = ssh(board, command)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def sftp(board: Board, commands: str) -> None:
    """Run sftp commands; the first failure ends them."""
    argv = ["sftp", *board.ssh_options(), "-b", "-", f"{board.user}@{board.host}"]
    subprocess.run(argv, input=commands, text=True, capture_output=True, timeout=60, check=True)


def detach_sleeper(board: Board) -> int:
    """Start a process that outlives its session; its pid on the board."""
    return int(said(board, DETACHED))


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def names(board: Board) -> list[str]:
    return [process.name for process in descendants(board.pid)]


def test_a_board_runs_arm64_programs_under_its_own_name_and_kernel(board: Board) -> None:
    assert said(board, "uname -nrm") == "rpi4 6.1.21-v8+ aarch64"
    assert said(board, "whoami; pwd; hostname").split() == ["pi", "/home/pi", "rpi4"]


def test_a_board_looks_like_a_raspberry_pi_4(board: Board) -> None:
    model = said(board, "tr -d '\\0' < /sys/firmware/devicetree/base/model")
    assert model == "Raspberry Pi 4 Model B Rev 1.5"
    assert said(board, "grep -c 'CPU part.*0xd08' /proc/cpuinfo") == "4"
    assert said(board, "cat /sys/devices/system/cpu/cpu3/cpufreq/cpuinfo_max_freq") == "1800000"
    assert len(said(board, "cat /etc/machine-id")) == 32


def test_python_on_the_board_has_its_standard_library_but_no_packages(board: Board) -> None:
    program = "import ctypes, hashlib, json, lzma, sqlite3, ssl, zipfile; print(zipfile.__cached__)"
    assert said(board, f"python3 -c '{program}'").endswith(".pyc")
    assert ssh(board, "python3 -c 'import numpy'").returncode == 1


def test_the_status_of_a_command_comes_back(board: Board) -> None:
    assert ssh(board, "exit 3").returncode == 3
    assert ssh(board, "no-such-command").returncode == 127
    assert ssh(board, "kill -9 $$").returncode == 137


def test_a_terminal_can_be_had(board: Board) -> None:
    assert ssh(board, "tty", "-tt").stdout.strip() == "/dev/pts/0"


def test_the_root_is_read_only_and_tmp_is_shared_by_sessions(board: Board) -> None:
    assert "Read-only" in ssh(board, "touch /usr/mark").stderr
    said(board, "echo here > /tmp/mark")
    assert said(board, "cat /tmp/mark; rm /tmp/mark") == "here"


def test_another_key_is_refused(board: Board, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    options = board.ssh_options()
    options[options.index(f"IdentityFile={board.identity_file}")] = f"IdentityFile={key}"
    argv = ["ssh", *options, f"{board.user}@{board.host}", "true"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 255
    assert "Permission denied" in done.stderr


def test_sftp_brings_a_file_there_and_back(board: Board, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(os.urandom(3_000_000))
    sftp(board, f"put {there} sent\nget sent {back}\n")
    assert back.read_bytes() == there.read_bytes()
    digest = hashlib.sha256(there.read_bytes()).hexdigest()
    assert said(board, "sha256sum sent; rm sent").split()[0] == digest


def test_sensors_show_what_the_test_sets(board: Board) -> None:
    assert said(board, "vcgencmd get_throttled; vcgencmd measure_temp") == (
        "throttled=0x0\ntemp=45.0'C"
    )
    try:
        board.set_temperature(82.5)
        board.set_throttled(0x50005)
        assert said(board, "cat /sys/class/thermal/thermal_zone0/temp") == "82500"
        assert said(board, "vcgencmd get_throttled; vcgencmd measure_temp") == (
            "throttled=0x50005\ntemp=82.5'C"
        )
    finally:
        board.set_temperature(45)
        board.set_throttled(0)


def test_the_governor_is_the_user_s_only_when_the_test_says_so(board: Board) -> None:
    assert said(board, f"cat {GOVERNOR}") == "ondemand"
    assert "Permission denied" in ssh(board, f"echo performance > {GOVERNOR}").stderr
    try:
        board.set_governor("ondemand", user_may_write=True)
        said(board, f"echo performance > {GOVERNOR}")
        other = GOVERNOR.replace("cpu0", "cpu3")
        assert said(board, f"cat {other}") == "performance"
    finally:
        board.set_governor("ondemand")


def test_a_detached_process_outlives_its_session(board: Board) -> None:
    pid = detach_sleeper(board)
    assert said(board, f"kill -0 {pid} && ps -o comm= -p {pid}") == "sleep"
    said(board, f"kill {pid}")
    wait_for(lambda: "sleep" not in names(board))


def test_an_ended_detached_process_leaves_no_zombie(board: Board) -> None:
    # kill -0 finds a zombie, too, and a runner would be taken for alive
    pid = said(board, "setsid nohup sleep 0.1 >/dev/null 2>&1 </dev/null & echo $!")
    time.sleep(0.2)
    wait_for(lambda: ssh(board, f"kill -0 {pid}").returncode == 1)


def test_cut_sessions_leave_detached_processes_alone(board: Board) -> None:
    pid = detach_sleeper(board)
    argv = ["ssh", *board.ssh_options(), f"{board.user}@{board.host}", "sleep 601"]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as session:
        wait_for(lambda: names(board).count("sleep") == 2)
        board.kill_sessions()
        assert session.wait(timeout=10) == 255
    # as on a real board, the session's own command does not notice either
    assert said(board, f"kill -0 {pid} && pgrep -c sleep") == "2"
    said(board, "pkill sleep")
    wait_for(lambda: "sleep" not in names(board))


def test_a_power_cut_ends_everything_but_keeps_home_and_identity(tmp_path: Path) -> None:
    with running_board(tmp_path) as board:
        detach_sleeper(board)
        said(board, "echo kept > note; echo lost > /tmp/note; sync")
        machine_id, boot_id = "/etc/machine-id", "/proc/sys/kernel/random/boot_id"
        before = said(board, f"cat {machine_id} {boot_id}").split()
        port, everything = board.port, [board.pid, *(p.pid for p in descendants(board.pid))]
        board.power_cut()
        assert not [pid for pid in everything if Path(f"/proc/{pid}").exists()]
        assert ssh(board, "true").returncode == 255
        board.power_on()
        assert board.port == port
        assert said(board, "cat note") == "kept"
        assert ssh(board, "test -e /tmp/note").returncode == 1
        assert "sleep" not in names(board)
        after = said(board, f"cat {machine_id} {boot_id}").split()
        assert after[0] == before[0]
        assert after[1] != before[1]


def test_a_board_goes_down_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from tests.emulation.test_board import *\n"
        "board = start_board(RPI4, Path(sys.argv[1])); detach_sleeper(board)\n"
        "print(board.pid, flush=True); time.sleep(600)"
    )
    argv = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{pid}").exists())


def test_a_scratch_folder_serves_one_board_at_a_time(tmp_path: Path) -> None:
    with running_board(tmp_path), pytest.raises(EmulationError, match="already uses"):
        start_board(RPI4, tmp_path)


def test_a_taken_port_is_reported(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EmulationError, match="Address already in use"):
            start_board(RPI4, tmp_path, port=port)


def test_a_small_disk_fills_up(tmp_path: Path) -> None:
    with running_board(tmp_path, home_size_mib=4) as board:
        done = ssh(board, "head -c 8M /dev/zero > big")
        assert "No space left on device" in done.stderr
        assert (board.home / "big").stat().st_size == 4 * 2**20


def test_a_jetson_is_another_board_on_the_same_root(tmp_path: Path) -> None:
    with running_board(tmp_path, JETSON_NANO) as board:
        assert said(board, "uname -nr; whoami") == "jetson-nano 4.9.337-tegra\njetson"
        assert "MAXN" in said(board, "nvpmodel -q")
        assert said(board, "cat /sys/class/thermal/thermal_zone1/type") == "CPU-therm"
        assert ssh(board, "vcgencmd get_throttled").returncode == 127
