"""What changes while a board works: clocks, temperatures, throttling, load."""

import re

import msgspec

from edgepose.deadline import Deadline
from edgepose.devices.phone_sensors import SCRIPT as PHONE_SCRIPT
from edgepose.devices.phone_sensors import SERVICES, PhoneSensors, parse_phone
from edgepose.devices.sections import PRELUDE, integer, number, split_sections
from edgepose.devices.shell import script, succeeded
from edgepose.devices.transport import Transport

# The globs stay as they are where nothing matches, and grep then prints nothing.
SCRIPT = (
    """
cpu=/sys/devices/system/cpu
show governors grep . $cpu/cpu[0-9]*/cpufreq/scaling_governor /dev/null
show current_khz grep . $cpu/cpu[0-9]*/cpufreq/scaling_cur_freq /dev/null
show max_khz grep . $cpu/cpu[0-9]*/cpufreq/scaling_max_freq /dev/null
show zone_types grep . /sys/class/thermal/thermal_zone[0-9]*/type /dev/null
show zone_temperatures grep . /sys/class/thermal/thermal_zone[0-9]*/temp /dev/null
show loadavg cat /proc/loadavg
show uptime cat /proc/uptime
have vcgencmd && show throttled vcgencmd get_throttled
have nvpmodel && show nvpmodel nvpmodel -q
"""
    + PHONE_SCRIPT
)
# Sections of it that every device could answer.
_ASKED = ("governors", "current_khz", "max_khz", "zone_temperatures", "loadavg", "uptime")

# Some thermal zones of phones are the battery's charge, voltage or current.
_NO_TEMPERATURE = re.compile(r"soc|.*(vbat|ibat|bcl|vph|-lvl).*", re.IGNORECASE)
_COLDEST_C, _HOTTEST_C = -40.0, 150.0  # beyond lies what a sensor says that is switched off

# Bits of the Raspberry Pi firmware; the same shifted by 16 mean "has happened since boot".
_THROTTLED = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
}


class Sensors(msgspec.Struct, frozen=True, kw_only=True):
    """One reading; what the device does not offer is None or empty, never guessed.

    Clocks are by core, in kHz as the kernel gives them; temperatures by zone in °C. ``phone`` is
    what Android's services say. ``unreadable`` names what was asked for and not answered.
    """

    governors: dict[int, str]
    current_khz: dict[int, int]
    max_khz: dict[int, int]
    temperatures_c: dict[str, float]
    throttled: int | None
    load_1min: float | None
    uptime_s: float | None
    power_mode: str | None
    phone: PhoneSensors | None = None
    unreadable: tuple[str, ...] = ()

    @property
    def hottest_c(self) -> float | None:
        return max(self.temperatures_c.values(), default=None)

    @property
    def throttled_now(self) -> tuple[str, ...]:
        """What the Raspberry Pi firmware says is limiting it at this moment."""
        return _bits(self.throttled or 0)

    @property
    def throttled_since_boot(self) -> tuple[str, ...]:
        return _bits((self.throttled or 0) >> 16)


def read_sensors(transport: Transport, deadline: Deadline) -> Sensors:
    """Read all sensors with one command."""
    completed = transport.run(script(PRELUDE + SCRIPT + "exit 0"), deadline)
    return parse_sensors(split_sections(succeeded(completed, "cannot read the sensors").text))


def parse_sensors(sections: dict[str, str]) -> Sensors:
    """Pure: the reading from what ``SCRIPT`` printed."""
    load = sections.get("loadavg", "").split()
    uptime = sections.get("uptime", "").split()
    _, _, throttled = sections.get("throttled", "").partition("=")
    phone = parse_phone(sections)
    return Sensors(
        governors=_texts_by_core(sections.get("governors", "")),
        current_khz=by_core(sections.get("current_khz", "")),
        max_khz=by_core(sections.get("max_khz", "")),
        # Newer phones hide the zones from adb's user, not what the thermal service knows.
        temperatures_c=_temperatures(sections, phone) or (phone.temperatures_c if phone else {}),
        throttled=integer(throttled),
        load_1min=number(load[0]) if load else None,
        uptime_s=number(uptime[0]) if uptime else None,
        power_mode=_power_mode(sections.get("nvpmodel", "")),
        phone=phone,
        unreadable=tuple(name for name in (*_ASKED, *SERVICES) if sections.get(name) == ""),
    )


def is_temperature(zone: str, celsius: float, *, phone: bool) -> bool:
    """Whether a thermal zone of this name tells degrees at all."""
    named_otherwise = phone and _NO_TEMPERATURE.fullmatch(zone)
    return not named_otherwise and _COLDEST_C < celsius < _HOTTEST_C


def _bits(value: int) -> tuple[str, ...]:
    return tuple(name for bit, name in _THROTTLED.items() if value >> bit & 1)


def _texts_by_core(text: str) -> dict[int, str]:
    return {int(core): value for core, value in re.findall(r"(?m)^\S*/cpu(\d+)/\S*:(.*)$", text)}


def by_core(text: str) -> dict[int, int]:
    """Core → whole number, from lines of grep over the files of all cores."""
    values = ((core, integer(value)) for core, value in _texts_by_core(text).items())
    return {core: value for core, value in values if value is not None}


def _temperatures(sections: dict[str, str], phone: PhoneSensors | None) -> dict[str, float]:
    pattern = re.compile(r"(?m)^\S*/thermal_zone(\d+)/\w+:(.*)$")
    kinds = dict(pattern.findall(sections.get("zone_types", "")))
    found: dict[str, float] = {}
    for zone, text in pattern.findall(sections.get("zone_temperatures", "")):
        value = integer(text)
        if value is None:
            continue
        kind = kinds.get(zone, f"zone{zone}").strip()
        # Some kernels give several zones of one kind, and a few boards give whole degrees.
        name = f"{kind}-{zone}" if kind in found else kind
        celsius = value / 1000 if abs(value) >= 1000 else float(value)
        if is_temperature(kind, celsius, phone=phone is not None):
            found[name] = celsius
    return found


def _power_mode(text: str) -> str | None:
    match = re.search(r"NV Power Mode:\s*(\S+)", text)
    return match[1] if match else None
