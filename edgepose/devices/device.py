"""A device: one reachable board as data, without behaviour."""

import re
from typing import Annotated, Literal

import msgspec

from edgepose.errors import UsageError

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_HOST_KEY = re.compile(r"[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}( .*)?")


class Device(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """An entry of ``devices.toml``.

    ``serial`` is a phone's, as `adb devices` shows it. ``host`` may be an alias of
    ``~/.ssh/config``. ``host_keys`` are pinned public keys (``ssh-ed25519 AAAA…``); with one or
    more of them ``known_hosts`` is not consulted. There is no password field: keys and the agent
    only. ``emulated`` marks a device whose timings say nothing.
    """

    name: str = ""
    target: str
    transport: Literal["local", "ssh", "adb"]
    serial: str | None = None
    host: str | None = None
    user: str | None = None
    port: Port | None = None
    identity_file: str | None = None
    workdir: str | None = None
    python: str = "python3"
    emulated: bool = False
    host_keys: tuple[str, ...] = ()


LOCAL = Device(name="local", target="host", transport="local")


def validate(device: Device) -> Device:
    """Return ``device`` if its fields make sense together. Raises UsageError otherwise."""
    check_name(device.name)
    if device.transport == "ssh":
        _validate_ssh(device)
    elif device.host or device.user or device.port or device.identity_file or device.host_keys:
        raise _wrong(device, "host, user, port, identity_file and host_keys are for transport ssh")
    if device.transport == "adb":
        _validate_adb(device)
    elif device.serial is not None:
        raise _wrong(device, "serial is for transport adb")
    for field, value in (("workdir", device.workdir), ("python", device.python)):
        if value is not None and (not value or not value.isprintable() or value.startswith("-")):
            raise _wrong(device, f"{field} {value!r} is not a usable path")
    if device.workdir and not device.workdir.startswith(("/", "~/")):
        raise _wrong(device, f"workdir {device.workdir!r} must begin with / or ~/")
    return device


def check_name(name: str) -> None:
    """Raise UsageError unless ``name`` is safe in paths, commands and tables."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a device name: only a-z, 0-9 and - are allowed, "
            "without a - at either end, at most 63 characters",
            hint="Choose a name such as pi4-kitchen.",
        )


def _validate_ssh(device: Device) -> None:
    if not device.host:
        raise _wrong(device, "transport ssh needs a host")
    for field, value in (("host", device.host), ("user", device.user)):
        unsafe = value and (value.startswith("-") or not value.isprintable() or " " in value)
        if value == "" or unsafe:
            raise _wrong(device, f"{field} {value!r} is not usable")
    for key in device.host_keys:
        if not _HOST_KEY.fullmatch(key):
            raise _wrong(device, f"host key {key[:40]!r} is not of the form 'ssh-ed25519 AAAA…'")


def _validate_adb(device: Device) -> None:
    serial = device.serial
    if not serial:
        raise _wrong(device, "transport adb needs a serial")
    if serial.startswith("-") or not serial.isprintable() or " " in serial:
        raise _wrong(device, f"serial {serial!r} is not usable")
    if device.workdir and not device.workdir.startswith("/"):
        raise _wrong(device, f"workdir {device.workdir!r} must begin with /: a phone has no home")


def _wrong(device: Device, reason: str) -> UsageError:
    return UsageError(
        f"device {device.name!r}: {reason}", hint="Correct its entry in devices.toml."
    )
