"""What the doctor thinks of a phone: pure functions, one per question."""

from edgepose.devices.check import Check
from edgepose.devices.facts import DeviceFacts
from edgepose.devices.phone_sensors import SEVERE, PhoneSensors, status_name
from edgepose.targets import Target

_LOW_PERCENT = 20  # most phones save power from 15 to 20 % on


def check_phone(phone: PhoneSensors, facts: DeviceFacts, target: Target) -> list[Check]:
    return [
        check_thermal_status(phone),
        check_battery(phone),
        check_screen(phone),
        check_cores(facts, target),
    ]


def check_thermal_status(phone: PhoneSensors) -> Check:
    status = phone.thermal_status
    if status is None:
        return Check("thermal status", "UNKNOWN", "the thermal service does not answer")
    if status >= SEVERE:
        fix = "Let it cool down; measurements are refused from `severe` on."
        return Check("thermal status", "CRITICAL", status_name(status), fix)
    if status > 0:
        return Check("thermal status", "WARNING", status_name(status), "Let it cool down.")
    return Check("thermal status", "PASS", status_name(status))


def check_battery(phone: PhoneSensors) -> Check:
    percent = phone.battery_percent
    if percent is None:
        return Check("battery", "UNKNOWN", "the battery service does not answer")
    state = {True: "charging", False: "not charging", None: "charging or not: unknown"}
    text = f"{percent} %, {state[phone.charging]}"
    if percent < _LOW_PERCENT:
        fix = f"Charge it to {_LOW_PERCENT} % or more: below, phones save power."
        return Check("battery", "WARNING", text, fix)
    if phone.charging:
        fix = "Charging warms it: a full battery, or adb over Wi-Fi without a cable, is steadier."
        return Check("battery", "INFO", text, fix)
    return Check("battery", "PASS", text)


def check_screen(phone: PhoneSensors) -> Check:
    said = {True: "on", False: "off: it may sleep and lower its clocks", None: "cannot be read"}
    return Check("screen", "INFO", said[phone.screen_on])


def check_cores(facts: DeviceFacts, target: Target) -> Check:
    """Whether the cores that the target names as fast are those that the phone has as such."""
    wanted, found = sorted(target.cpu.fast_cores), sorted(facts.big_cores)
    if not found:
        return Check("big cores", "UNKNOWN", "the phone does not tell its cores' speeds")
    if wanted and wanted != found:
        text = f"{_listed(found)} by their speeds, but target {target.name} has {_listed(wanted)}"
        fix = "Correct `fast_cores` in a target file of your own (./targets)."
        return Check("big cores", "WARNING", text, fix)
    return Check("big cores", "PASS", _listed(found))


def _listed(cores: list[int]) -> str:
    return ", ".join(map(str, cores))
