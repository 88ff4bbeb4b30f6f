"""What changes while a board works: clocks, temperatures, throttling, load."""

import re

import msgspec

from edgepose.deadline import Deadline
from edgepose.devices.sections import PRELUDE, integer, number, split_sections
from edgepose.devices.shell import script, succeeded
from edgepose.devices.transport import Transport

# The globs stay as they are where nothing matches, and grep then prints nothing.
SCRIPT = """
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

# Bits of the Raspberry Pi firmware; the same shifted by 16 mean "has happened since boot".
_THROTTLED = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
}


class Sensors(msgspec.Struct, frozen=True, kw_only=True):
    """One reading; what the device does not offer is None or empty, never guessed.

    Clocks are by core, in kHz as the kernel gives them; temperatures by zone in °C.
    """

    governors: dict[int, str]
    current_khz: dict[int, int]
    max_khz: dict[int, int]
    temperatures_c: dict[str, float]
    throttled: int | None
    load_1min: float | None
    uptime_s: float | None
    power_mode: str | None

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
    return Sensors(
        governors=_by_core(sections.get("governors", "")),
        current_khz=_integers(sections.get("current_khz", "")),
        max_khz=_integers(sections.get("max_khz", "")),
        temperatures_c=_temperatures(sections),
        throttled=integer(throttled),
        load_1min=number(load[0]) if load else None,
        uptime_s=number(uptime[0]) if uptime else None,
        power_mode=_power_mode(sections.get("nvpmodel", "")),
    )


def _bits(value: int) -> tuple[str, ...]:
    return tuple(name for bit, name in _THROTTLED.items() if value >> bit & 1)


def _by_core(text: str) -> dict[int, str]:
    return {int(core): value for core, value in re.findall(r"(?m)^\S*/cpu(\d+)/\S*:(.*)$", text)}


def _integers(text: str) -> dict[int, int]:
    values = ((core, integer(value)) for core, value in _by_core(text).items())
    return {core: value for core, value in values if value is not None}


def _temperatures(sections: dict[str, str]) -> dict[str, float]:
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
        found[name] = value / 1000 if abs(value) >= 1000 else float(value)
    return found


def _power_mode(text: str) -> str | None:
    match = re.search(r"NV Power Mode:\s*(\S+)", text)
    return match[1] if match else None
