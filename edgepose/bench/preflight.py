"""Is the device fit for a measurement? Asked before anything is sent, and before every process."""

import logging
import time
from typing import Any

import msgspec

from edgepose.bundle import Bundle
from edgepose.deadline import Deadline
from edgepose.devices.device import Device
from edgepose.devices.facts import DeviceFacts
from edgepose.devices.phone_sensors import status_name
from edgepose.devices.sensors import Sensors, read_sensors
from edgepose.devices.transport import Transport
from edgepose.errors import DeviceError, DeviceFullError, RuntimeMissingError
from edgepose.runners.pack import PYTHON_RUNNER
from edgepose.targets import load_target

_log = logging.getLogger(__name__)
HOT_C = 70.0  # boards begin to throttle at 80 to 85 °C; the gate leaves room for the run itself
_COOL_DOWN_S = 180.0
_MIN_FREE_MIB = 64  # results, outputs and logs beside the bundle's own files


def preflight(device: Device, bundle: Bundle, facts: DeviceFacts) -> None:
    """Raise DeviceError where a run on ``device`` could only fail: as ``check_board`` does, and
    RuntimeMissingError where there is no runtime.
    """
    check_board(device, facts)
    if bundle.manifest.runner != PYTHON_RUNNER:
        return  # an executable that needs nothing
    engine = bundle.manifest.recipe.engine
    fix = f"Run `edgepose device setup {device.name}`."
    if facts.python is None:
        raise RuntimeMissingError(f"device {device.name!r} has no usable Python", hint=fix)
    missing = [name for name in ("numpy", engine) if name not in facts.python.packages]
    if missing:
        raise RuntimeMissingError(
            f"device {device.name!r} lacks {' and '.join(missing)} for "
            f"Python {facts.python.version}",
            hint=fix,
        )


def check_board(device: Device, facts: DeviceFacts) -> None:
    """Raise DeviceError where ``device`` is of another architecture than its target's, and
    DeviceFullError where it has no room.
    """
    target = load_target(device.target)
    if facts.arch and facts.arch != target.arch:
        raise DeviceError(
            f"device {device.name!r} is {facts.arch}, its target {target.name} is {target.arch}",
            hint="Correct the target of its entry in devices.toml.",
        )
    if facts.free_disk_mib is not None and facts.free_disk_mib < _MIN_FREE_MIB:
        raise DeviceFullError(
            f"device {device.name!r} has {facts.free_disk_mib} MiB free, "
            f"a run wants {_MIN_FREE_MIB}",
            hint="Free some space on the device and try again.",
        )


def cool_down(transport: Transport) -> None:
    """Wait until the device is cool (``why_hot``), at most three minutes.

    Returns at once where nothing is readable. What is still hot then is measured all the same,
    and refused if it throttles.
    """
    deadline = Deadline.after(_COOL_DOWN_S)
    while True:
        why = why_hot(read_sensors(transport, Deadline.after(60)))
        if not why:
            return
        if deadline.expired:
            _log.warning("still %s after %.0f s", why, _COOL_DOWN_S)
            return
        _log.info("waiting: %s, the gate is %.0f °C", why, HOT_C)
        time.sleep(min(5.0, deadline.remaining_s))


def why_hot(sensors: Sensors) -> str:
    """What speaks against starting a run now: the hottest zone, or that a phone throttles itself.

    Empty where nothing does.
    """
    if sensors.hottest_c is not None and sensors.hottest_c >= HOT_C:
        return f"{sensors.hottest_c:.0f} °C"
    status = sensors.phone.thermal_status if sensors.phone else None
    return f"thermal status {status_name(status)}" if status else ""


def recorded_facts(facts: DeviceFacts) -> dict[str, Any]:
    """The facts as a record keeps them, with what ``validity`` judges at the top level."""
    plain: dict[str, Any] = msgspec.to_builtins(facts, str_keys=True)
    sensors = plain.pop("sensors")
    governors, max_khz = sensors.pop("governors"), sensors.pop("max_khz")
    throttled = sensors.pop("throttled")
    return {
        **plain,
        **sensors,
        "unreadable": list(sensors["unreadable"]),  # as JSON gives it back
        "governor": governors or None,
        "max_clock_mhz": {core: khz / 1e3 for core, khz in max_khz.items()} or None,
        "throttled": None if throttled is None else hex(throttled),
    }
