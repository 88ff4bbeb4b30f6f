import re
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgepose.bench.place import choose_cores
from edgepose.bench.preflight import HOT_C, cool_down, preflight, recorded_facts, why_hot
from edgepose.bench.validity import KNOBS
from edgepose.bundle import Bundle
from edgepose.config import find_overlaid
from edgepose.deadline import Deadline
from edgepose.devices.device import Device
from edgepose.devices.facts import DeviceFacts
from edgepose.devices.local import LocalTransport
from edgepose.devices.phone_sensors import PhoneSensors
from edgepose.devices.sensors import read_sensors
from edgepose.errors import DeviceError, DeviceFullError, RuntimeMissingError
from tests.bench.facts import facts, python, sensors

PI = Device(name="pi-kitchen", target="rpi4", transport="ssh", host="pi")


def test_an_idle_board_with_its_runtime_is_fit(tiny: Bundle) -> None:
    preflight(PI, tiny, facts())


def test_what_a_board_does_not_tell_does_not_stop_a_run(tiny: Bundle) -> None:
    preflight(PI, tiny, facts(arch=None, free_disk_mib=None))


def test_a_board_of_another_architecture_names_both(tiny: Bundle) -> None:
    with pytest.raises(DeviceError, match="is x86_64, its target rpi4 is aarch64") as caught:
        preflight(PI, tiny, facts(arch="x86_64"))
    assert "devices.toml" in caught.value.hint


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        (facts(python=None), "has no usable Python"),
        (facts(python=python()), "lacks numpy and onnxruntime for Python 3.11.2"),
        (facts(python=python(onnxruntime="1.31.1")), "lacks numpy for"),
        (facts(python=python(numpy="2.4.6", ncnn="1.0")), "lacks onnxruntime for"),
    ],
)
def test_a_missing_runtime_is_named_with_the_command_that_installs_it(
    tiny: Bundle, seen: DeviceFacts, text: str
) -> None:
    with pytest.raises(RuntimeMissingError, match=text) as caught:
        preflight(PI, tiny, seen)
    assert caught.value.hint == "Run `edgepose device setup pi-kitchen`."


def test_a_full_disk_is_told_in_figures_before_a_missing_runtime(tiny: Bundle) -> None:
    with pytest.raises(DeviceFullError, match="has 63 MiB free, a run wants 64"):
        preflight(PI, tiny, facts(free_disk_mib=63, python=None))
    preflight(PI, tiny, facts(free_disk_mib=64))


def test_recorded_facts_hold_at_the_top_what_is_judged() -> None:
    recorded = recorded_facts(facts())
    assert recorded["boot_id"] == "b1"
    assert recorded["throttled"] == "0x50000"
    assert recorded["temperatures_c"] == {"cpu-thermal": 45.0}
    assert recorded["governor"] == {"0": "ondemand", "1": "ondemand"}
    assert recorded["max_clock_mhz"] == {"0": 1800.0, "1": 1800.0}
    assert recorded["python"]["packages"] == {"numpy": "2.4.6", "onnxruntime": "1.31.1"}


def test_knobs_that_are_not_readable_are_recorded_as_none() -> None:
    silent = sensors(governors={}, max_khz={}, throttled=None, temperatures_c={})
    recorded = recorded_facts(facts(sensors=silent))
    assert {recorded.get(knob) for knob in KNOBS} == {None}
    assert recorded["throttled"] is None


def test_a_throttle_mask_of_zero_is_recorded_as_a_mask() -> None:
    assert recorded_facts(facts(sensors=sensors(throttled=0)))["throttled"] == "0x0"


def test_a_device_without_temperatures_or_a_cool_one_is_not_waited_for() -> None:
    hottest = read_sensors(LocalTransport(), Deadline.after(60)).hottest_c
    if hottest is not None and hottest >= HOT_C:
        pytest.skip("this machine is hot")
    start = time.monotonic()
    cool_down(LocalTransport())
    assert time.monotonic() - start < 5


def phone(status: int | None) -> PhoneSensors:
    return PhoneSensors(
        thermal_status=status,
        temperatures_c={},
        battery_percent=None,
        battery_c=None,
        charging=None,
        powered=None,
        screen_on=None,
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"temperatures_c": {"cpu": HOT_C - 1}}, ""),
        ({"temperatures_c": {"cpu": HOT_C}}, "70 °C"),
        ({"temperatures_c": {}, "phone": phone(None)}, ""),
        ({"phone": phone(0)}, ""),
        ({"phone": phone(1)}, "thermal status light"),
        ({"temperatures_c": {"cpu": 80.0}, "phone": phone(2)}, "80 °C"),
    ],
)
def test_hot_is_a_zone_at_the_gate_or_a_phone_that_throttles_itself(
    changes: dict[str, Any], why: str
) -> None:
    assert why_hot(sensors(**changes)) == why


PHONE = Device(name="pixel", target="snapdragon-865", transport="adb", serial="R58N")
SPEEDS = {0: 350, 1: 350, 2: 350, 3: 350, 4: 890, 5: 890, 6: 890, 7: 1024}


@pytest.mark.parametrize(
    ("threads", "chosen"),
    [(None, (4, (4, 5, 6, 7))), (1, (1, (7,))), (2, (2, (6, 7))), (5, (5, ()))],
)
def test_runs_go_to_the_fastest_cores_of_the_target(
    threads: int | None, chosen: tuple[int, tuple[int, ...]]
) -> None:
    assert choose_cores(PHONE, facts(), threads) == chosen


def test_where_the_target_names_no_fast_cores_the_device_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "targets").mkdir()
    text = find_overlaid("targets")["snapdragon-865"].read_text()
    nameless = re.sub(r"(?m)^fast_cores = .*$", "fast_cores = []", text)
    (tmp_path / "targets" / "my-phone.toml").write_text(nameless)
    mine = msgspec.structs.replace(PHONE, target="my-phone")
    assert choose_cores(mine, facts(capacities=SPEEDS), None) == (4, (4, 5, 6, 7))
    assert choose_cores(mine, facts(capacities=SPEEDS), 1) == (1, (7,))
    assert choose_cores(mine, facts(), None) == (1, ())
