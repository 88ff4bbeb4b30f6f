"""What a phone's services say, read as it is.

The texts follow Android's public sources. None was recorded on a physical phone.
"""

import subprocess

import msgspec
import pytest

from edgepose.devices import phone_checks
from edgepose.devices.clusters import big_cores
from edgepose.devices.facts import parse_facts
from edgepose.devices.phone_sensors import SCRIPT, parse_phone, status_name
from edgepose.devices.sections import PRELUDE, split_sections
from edgepose.devices.sensors import is_temperature, parse_sensors
from edgepose.targets import load_target

CPU = "/sys/devices/system/cpu"
ZONE = "/sys/class/thermal"
HEAT = """
@@thermalservice
IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 2
\tkilled: false
\tbroadcasts count: -1
ThermalStatusListeners:
\tcallbacks: 1
\tkilled: false
\tbroadcasts count: -1
Thermal Status: 1
Cached temperatures:
\tTemperature{mValue=41.3, mType=3, mName=skin, mStatus=1}
HAL Ready: true
HAL connection:
\tThermalHAL 2.0 connected: yes
Current temperatures from HAL:
\tTemperature{mValue=52.5, mType=0, mName=CPU0, mStatus=0}
\tTemperature{mValue=49.1, mType=1, mName=GPU0, mStatus=0}
\tTemperature{mValue=30.0, mType=2, mName=battery, mStatus=0}
\tTemperature{mValue=41.9, mType=3, mName=skin, mStatus=1}
\tTemperature{mValue=4210.0, mType=6, mName=vbat, mStatus=0}
\tTemperature{mValue=87.0, mType=8, mName=soc, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=0, mType=2, mName=thermal-cpufreq-0}
"""
BATTERY = """
@@battery
Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  Max charging current: 500000
  status: 2
  health: 2
  present: true
  level: 87
  scale: 100
  voltage: 4280
  temperature: 305
  technology: Li-ion
"""
POWER = """
@@power
  mWakefulness=Awake
Display Power: state=ON
"""
CORES = (
    "\n@@capacities\n"
    + "".join(f"{CPU}/cpu{core}/cpu_capacity:350\n" for core in range(4))
    + "".join(f"{CPU}/cpu{core}/cpu_capacity:890\n" for core in (4, 5, 6))
    + f"{CPU}/cpu7/cpu_capacity:1024\n"
)
ZONES = f"""
@@zone_types
{ZONE}/thermal_zone0/type:cpu-0-0-usr
{ZONE}/thermal_zone1/type:soc
{ZONE}/thermal_zone2/type:pm8150b-vbat-lvl0
{ZONE}/thermal_zone3/type:pm8150b-ibat-lvl0
{ZONE}/thermal_zone4/type:skin-therm
{ZONE}/thermal_zone5/type:modem-off

@@zone_temperatures
{ZONE}/thermal_zone0/temp:51200
{ZONE}/thermal_zone1/temp:87
{ZONE}/thermal_zone2/temp:4210
{ZONE}/thermal_zone3/temp:1500
{ZONE}/thermal_zone4/temp:38000
{ZONE}/thermal_zone5/temp:-273000
"""


def phone(text):
    return parse_phone(split_sections(text))


def test_heat_battery_and_screen_are_read():
    found = phone(HEAT + BATTERY + POWER)
    assert found.thermal_status == 1
    assert found.temperatures_c == {"CPU0": 52.5, "GPU0": 49.1, "battery": 30.0, "skin": 41.9}
    assert (found.battery_percent, found.battery_c) == (87, 30.5)
    assert (found.charging, found.powered, found.screen_on) == (True, True, True)


def test_what_the_service_remembers_stands_in_for_hardware_that_is_silent():
    text = HEAT.partition("HAL Ready")[0]
    assert phone(text).temperatures_c == {"skin": 41.3}


@pytest.mark.parametrize(
    ("status", "charging"), [(1, False), (2, True), (3, False), (4, False), (5, False)]
)
def test_only_a_battery_that_takes_charge_is_charging(status, charging):
    assert phone(BATTERY.replace("status: 2", f"status: {status}")).charging is charging


def test_a_level_is_a_share_of_its_scale():
    assert phone(BATTERY.replace("scale: 100", "scale: 174")).battery_percent == 50


@pytest.mark.parametrize(
    ("lines", "on"),
    [
        ("mWakefulness=Asleep", False),
        ("mWakefulness=Dozing", False),
        ("mWakefulness=Awake", True),
        ("mWakefulness=Awake\nDisplay Power: state=OFF", False),
        ("mWakefulness=Dozing\nDisplay Power: state=DOZE", False),
        ("something else", None),
    ],
)
def test_the_screen_is_on_where_the_display_or_else_the_system_is_awake(lines, on):
    assert phone(f"\n@@power\n{lines}\n").screen_on is on


@pytest.mark.parametrize(
    "text",
    [
        "\n@@thermalservice\n\n@@battery\n\n@@power\n",
        "\n@@thermalservice\nPermission Denial\n@@battery\nCan't find service: battery\n@@power\n",
        "\n@@thermalservice\nThermal Status: hot\n@@battery\nlevel: many\n@@power\nmWake",
    ],
)
def test_what_a_phone_does_not_tell_is_none_and_not_guessed(text):
    found = phone(text)
    assert msgspec.structs.asdict(found) == {
        "thermal_status": None,
        "temperatures_c": {},
        "battery_percent": None,
        "battery_c": None,
        "charging": None,
        "powered": None,
        "screen_on": None,
    }


def test_a_board_is_no_phone():
    assert phone("\n@@loadavg\n0.1\n") is None
    assert parse_sensors({}).phone is None


def test_what_was_asked_for_and_not_answered_is_listed():
    text = f"{HEAT}\n@@battery\n\n@@power\n\n@@governors\n\n@@loadavg\n0.5 0.5 0.5\n@@uptime\n\n"
    found = parse_sensors(split_sections(text))
    assert found.unreadable == ("governors", "uptime", "battery", "power")


def test_zones_of_a_phone_that_tell_no_temperature_are_left_out():
    seen = parse_sensors(split_sections(ZONES + HEAT)).temperatures_c
    assert seen == {"cpu-0-0-usr": 51.2, "skin-therm": 38.0}


def test_where_the_zones_are_hidden_the_thermal_service_is_asked():
    hidden = parse_sensors(split_sections(HEAT + "\n@@zone_types\n\n@@zone_temperatures\n"))
    assert hidden.hottest_c == 52.5
    assert "zone_temperatures" in hidden.unreadable


def test_a_zone_named_soc_is_the_chip_on_a_board_and_the_charge_on_a_phone():
    assert is_temperature("soc", 60.0, phone=False)
    assert not is_temperature("soc", 60.0, phone=True)
    assert is_temperature("soc-thermal", 60.0, phone=True)
    assert not is_temperature("cpu", -273.0, phone=False)


def test_big_cores_are_all_but_the_slowest_the_fastest_last():
    assert big_cores({0: 350, 1: 350, 4: 890, 7: 1024, 5: 890}, {}) == (4, 5, 7)
    assert big_cores({0: 1024, 1: 350}, {0: 1, 1: 2}) == (0,)
    assert big_cores({}, {0: 1800000, 1: 2400000}) == (1,)
    assert big_cores({0: 1024, 1: 1024}, {}) == ()
    assert big_cores({}, {}) == ()


def test_a_phone_s_facts_name_it_and_its_big_cores():
    text = f"{CORES}{HEAT}\n@@android\nMaker\nPhone 5\nAndroid 12\n"
    facts = parse_facts(text)
    assert (facts.model, facts.os) == ("Maker Phone 5", "Android 12")
    assert facts.big_cores == (4, 5, 6, 7)
    assert facts.sensors.phone.thermal_status == 1


def test_a_device_without_properties_is_named_by_its_device_tree():
    facts = parse_facts("\n@@android\n\n@@devicetree\nRaspberry Pi 4\n")
    assert (facts.model, facts.os, facts.big_cores) == ("Raspberry Pi 4", None, ())


def test_the_script_is_silent_where_there_is_no_dumpsys():
    words = ["/bin/sh", "-c", PRELUDE + SCRIPT]
    done = subprocess.run(words, capture_output=True, text=True, env={"PATH": "/nowhere"})
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(0, "PASS"), (1, "WARNING"), (2, "WARNING"), (3, "CRITICAL"), (6, "CRITICAL")],
)
def test_the_doctor_judges_the_thermal_status(status, verdict):
    check = phone_checks.check_thermal_status(
        phone(HEAT.replace("Thermal Status: 1", f"Thermal Status: {status}"))
    )
    assert (check.verdict, check.text) == (verdict, status_name(status))
    assert bool(check.fix) is (status > 0)


def test_a_status_that_android_does_not_define_yet_is_shown_as_it_is():
    assert status_name(9) == "unknown (9)"


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (("status: 2", "status: 5"), "PASS"),
        (("", ""), "INFO"),
        (("level: 87", "level: 12"), "WARNING"),
    ],
)
def test_the_doctor_judges_the_battery(change, verdict):
    assert phone_checks.check_battery(phone(BATTERY.replace(*change))).verdict == verdict


def test_the_doctor_compares_the_big_cores_with_the_target_s():
    target = load_target("snapdragon-865")
    alike = phone_checks.check_cores(parse_facts(CORES), target)
    assert (alike.verdict, alike.text) == ("PASS", "4, 5, 6, 7")
    other = phone_checks.check_cores(
        parse_facts(CORES.replace("cpu4/cpu_capacity:890", "")), target
    )
    assert other.verdict == "WARNING"
    assert "5, 6, 7 by their speeds, but target snapdragon-865 has 4, 5, 6, 7" in other.text
    assert phone_checks.check_cores(parse_facts(""), target).verdict == "UNKNOWN"


def test_every_question_about_a_silent_phone_is_open():
    silent = phone("\n@@thermalservice\n\n@@battery\n\n@@power\n")
    found = phone_checks.check_phone(silent, parse_facts(""), load_target("snapdragon-865"))
    assert {check.name: check.verdict for check in found} == {
        "thermal status": "UNKNOWN",
        "battery": "UNKNOWN",
        "screen": "INFO",
        "big cores": "UNKNOWN",
    }
