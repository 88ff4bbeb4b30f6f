"""Pure: what adb's client says of the devices it knows, and the errors to be made of it."""

import re
from collections.abc import Mapping

from edgepose.errors import AuthenticationError, DeviceError, UnreachableError, UsageError

READY = "device"
# A link that is being made; it becomes another state within moments.
TRANSIENT: frozenset[str | None] = frozenset({"authorizing", "connecting", "offline"})

_ACCEPT = "Unlock the phone's screen and accept this computer's key."
# state → what it means, what to do
_STATES = {
    "unauthorized": ("the phone has not accepted this computer's key", _ACCEPT),
    "authorizing": ("the phone has not answered this computer's key", _ACCEPT),
    "offline": (
        "it is offline",
        "Unplug it and plug it in again; if that does not help, `adb kill-server`.",
    ),
    "connecting": ("the link is not up", "Plug the phone in again, or wait a moment."),
    "no permissions": (
        "this user may not use the USB device",
        "Install Android's udev rules (Debian: `apt install android-sdk-platform-tools-common`), "
        "join the group plugdev, log in again and plug the phone in again.",
    ),
    "recovery": ("it runs its recovery system", "Start Android: `adb reboot`."),
    "sideload": ("it waits for an update (sideload)", "Start Android: `adb reboot`."),
    "rescue": ("it runs its rescue system", "Start Android: `adb reboot`."),
    "bootloader": ("it waits in its boot loader", "Start Android: `fastboot reboot`."),
    "host": ("it is no device", "Give the serial of a phone, see `adb devices`."),
}


def parse_devices(text: str) -> dict[str, str]:
    """Serial → state, from what `adb devices` prints; a state's explanation is left out."""
    pairs = (line.split("\t", 1) for line in text.splitlines() if "\t" in line)
    return {serial: state.split(" (")[0].split(";")[0].strip() for serial, state in pairs}


def is_network(serial: str) -> bool:
    """Whether the serial is an address, to which adb's server has to be told to connect."""
    return re.fullmatch(r"\[?[^\s\]]+\]?:\d{1,5}", serial) is not None


def not_ready(serial: str, states: Mapping[str, str]) -> DeviceError:
    """The error for a device that is not ``READY``, with the way to make it so."""
    state = states.get(serial)
    if state is None:
        there = ", ".join(f"{name} ({state})" for name, state in sorted(states.items()))
        return UnreachableError(
            f"adb does not see the device {serial}; it sees {there or 'none'}",
            hint="Plug it in, switch on USB debugging in its developer options, "
            "and compare with `adb devices`.",
        )
    reason, hint = _STATES.get(state, (f"its state is {state!r}", "See `adb devices`."))
    kind = AuthenticationError if state in ("unauthorized", "authorizing") else UnreachableError
    return kind(f"cannot use the device {serial}: {reason}", hint=hint)


def only_serial(states: Mapping[str, str]) -> str:
    """The serial where none was given: of the one device there is.

    Raises UnreachableError where there is none, UsageError where there are several.
    """
    if not states:
        raise UnreachableError(
            "adb sees no device",
            hint="Plug it in and switch on USB debugging in its developer options; "
            "for one on the network give its HOST:PORT.",
        )
    if len(states) > 1:
        raise UsageError(
            f"adb sees several devices: {', '.join(sorted(states))}",
            hint="Say which one: `--adb SERIAL`.",
        )
    return next(iter(states))
