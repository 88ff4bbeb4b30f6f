"""The process that reads sensors beside a run.

A machine without a single sensor is common in CI, so ``vcgencmd``, the Raspberry Pi's tool, is a
script here: the processes, their cores and their ends are real.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgepose.bundle import Bundle
from edgepose.runners.python.sensors import _temperatures_c
from edgepose.runners.result import read_result
from tests.runners.conftest import Run, command_of, runner_of, write_plan

TinyBundle = Callable[[str], Bundle]


@pytest.fixture(params=["onnxruntime-fp32", "ncnn-fp32"], ids=["python", "native"])
def bundle(request: pytest.FixtureRequest, tiny_bundle: TinyBundle) -> Bundle:
    """For the Python and for the native runner: engines play no part here."""
    return tiny_bundle(request.param)


@pytest.fixture(autouse=True)
def throttle_bits(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("bin")
    (folder / "vcgencmd").write_text("#!/bin/sh\necho throttled=0x50000\n")
    (folder / "vcgencmd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.fixture
def long_run(bundle: Bundle, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run that would take hours, on the first core alone."""
    cores = (min(os.sched_getaffinity(0)),)
    write_plan(bundle, tmp_path, "time", runs=10**8, sensor_period_s=0.05, cpus=cores)
    words = command_of(runner_of(bundle), tmp_path)
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        yield process
        process.kill()


def wait_for(question: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def sensor_process(folder: Path) -> int | None:
    """Id of the living process that writes ``folder``/sensors.jsonl."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"--sensors" in words and str(folder / "sensors.jsonl").encode() in words:
            return int(entry.name)
    return None


def test_the_readings_of_a_run_come_home_with_their_times(bundle: Bundle, run: Run) -> None:
    done, folder = run(bundle, "time", runs=20_000, sensor_period_s=0.02)
    assert done.returncode == 0, done.stderr
    readings = read_result((folder / "result.jsonl").read_bytes(), "run-7").all("sensor")
    times = [reading["at_ms"] for reading in readings]
    assert len(times) >= 2
    assert times == sorted(times)
    assert {reading["throttled"] for reading in readings} == {"0x50000"}
    assert sensor_process(folder) is None


def test_without_a_period_nothing_is_read(bundle: Bundle, run: Run) -> None:
    _, folder = run(bundle, "time", sensor_period_s=0)
    assert not read_result((folder / "result.jsonl").read_bytes(), "run-7").all("sensor")
    assert not (folder / "sensors.jsonl").exists()


def test_the_sensor_process_ends_when_its_run_is_killed(
    long_run: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    readings = tmp_path / "sensors.jsonl"
    wait_for(lambda: readings.exists() and readings.read_bytes().count(b"\n") >= 2)
    assert sensor_process(tmp_path)
    long_run.send_signal(signal.SIGKILL)
    wait_for(lambda: sensor_process(tmp_path) is None)


def test_the_sensor_process_ends_when_its_run_is_killed_before_it_began(
    long_run: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    wait_for(lambda: sensor_process(tmp_path))
    long_run.send_signal(signal.SIGKILL)
    wait_for(lambda: sensor_process(tmp_path) is None)


def test_the_sensor_process_keeps_off_the_cores_of_the_run(
    long_run: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    mine = os.sched_getaffinity(0)
    if len(mine) < 2:
        pytest.skip("one core only: there is nowhere to go")
    wait_for((tmp_path / "sensors.jsonl").exists)
    child = sensor_process(tmp_path)
    assert child
    assert os.sched_getaffinity(long_run.pid) == {min(mine)}
    assert not os.sched_getaffinity(child) & {min(mine)}


def test_where_there_is_nothing_to_read_the_process_ends_at_once(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    words = command_of(runner_of(bundle), "--sensors", tmp_path / "s", "0.05", str(os.getpid()))
    if any(Path("/sys/class/thermal").glob("thermal_zone*/temp")) or any(
        Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq")
    ):
        pytest.skip("this machine has sensors")
    assert subprocess.run(words, timeout=30).returncode == 0
    assert (tmp_path / "s").read_bytes() == b""


def test_thermal_zones_of_one_type_are_kept_apart(tmp_path: Path) -> None:
    zones = [("cpu-thermal", "51000"), ("gpu", "40500"), ("cpu-thermal", "53000"), ("", "9000")]
    for number, (kind, milli) in enumerate(zones):
        zone = tmp_path / f"thermal_zone{number}"
        zone.mkdir()
        (zone / "temp").write_text(milli + "\n")
        if kind:
            (zone / "type").write_text(kind + "\n")
    (tmp_path / "thermal_zone7").mkdir()  # one that cannot be read
    assert _temperatures_c(str(tmp_path)) == {
        "cpu-thermal": 51.0,
        "gpu": 40.5,
        "cpu-thermal-2": 53.0,
        "thermal_zone3": 9.0,
    }
