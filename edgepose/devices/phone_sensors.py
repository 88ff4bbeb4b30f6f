"""What Android's services say of a phone at one moment: heat, battery, screen.

Written after Android's public sources. No physical phone has been seen by this code: what a phone
words differently is recorded as not readable, and nothing is guessed.
"""

import re
from collections.abc import Mapping

import msgspec

from edgepose.devices.sections import integer, number

# `dumpsys power` is long: only the lines that tell whether the screen is on.
SCRIPT = """
if have dumpsys
then
show thermalservice dumpsys thermalservice
show battery dumpsys battery
show power sh -c 'dumpsys power | grep -E "mWakefulness=|Display Power: state="'
fi
"""
SERVICES = ("thermalservice", "battery", "power")

# Android's own names of its thermal status, from 0 on.
THERMAL_STATUS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
SEVERE = THERMAL_STATUS.index("severe")

# Types of a temperature that are degrees: CPU, GPU, battery, skin, USB port, power amplifier, NPU.
# The others (6 to 8) are the battery's voltage, current and charge.
_DEGREES = {"0", "1", "2", "3", "4", "5", "9"}
_READING = re.compile(r"Temperature\{mValue=([-\d.]+), mType=(\d+), mName=([^,}]+)")
_CHARGING = 2  # of BatteryManager's status: 1 unknown, 3 discharging, 4 not charging, 5 full


class PhoneSensors(msgspec.Struct, frozen=True, kw_only=True):
    """``powered`` is by cable or wirelessly; ``charging`` warms the battery, and so the phone."""

    thermal_status: int | None
    temperatures_c: dict[str, float]
    battery_percent: int | None
    battery_c: float | None
    charging: bool | None
    powered: bool | None
    screen_on: bool | None


def parse_phone(sections: Mapping[str, str]) -> PhoneSensors | None:
    """Pure: what ``SCRIPT`` printed; None where the device has no `dumpsys`, as boards have not."""
    if not any(name in sections for name in SERVICES):
        return None
    heat = sections.get("thermalservice", "")
    battery = _fields(sections.get("battery", ""))
    level, scale = integer(battery.get("level")), integer(battery.get("scale")) or 100
    tenths = number(battery.get("temperature"))
    status = integer(battery.get("status"))
    sources = [value for name, value in battery.items() if name.endswith(" powered")]
    return PhoneSensors(
        thermal_status=integer(_fields(heat).get("Thermal Status")),
        temperatures_c=_temperatures(heat),
        battery_percent=None if level is None else round(100 * level / scale),
        battery_c=None if tenths is None else tenths / 10,
        charging=None if status is None else status == _CHARGING,
        powered=any(value == "true" for value in sources) if sources else None,
        screen_on=_screen_on(sections.get("power", "")),
    )


def status_name(status: int) -> str:
    return THERMAL_STATUS[status] if 0 <= status < len(THERMAL_STATUS) else f"unknown ({status})"


def _fields(text: str) -> dict[str, str]:
    """The ``name: value`` lines; of a name that comes twice, the first."""
    pairs = (line.partition(":") for line in reversed(text.splitlines()))
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def _temperatures(text: str) -> dict[str, float]:
    """What the hardware says now, or else what the service remembers, in °C by name."""
    cached, _, current = text.partition("Current temperatures from HAL:")
    readings = _READING.findall(current) or _READING.findall(cached)
    found = ((name.strip(), number(value)) for value, kind, name in readings if kind in _DEGREES)
    return {name: value for name, value in found if value is not None}


def _screen_on(text: str) -> bool | None:
    display = re.search(r"Display Power: state=(\w+)", text)
    if display:
        return display[1] == "ON"
    wakefulness = re.search(r"mWakefulness=(\w+)", text)
    return wakefulness[1] == "Awake" if wakefulness else None
