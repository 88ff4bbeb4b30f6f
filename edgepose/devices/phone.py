"""What a phone says of itself, and which target that is."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from edgepose.deadline import Deadline
from edgepose.devices.adb_client import adb_devices
from edgepose.devices.adb_state import only_serial
from edgepose.devices.connect import connect
from edgepose.devices.device import Device, validate
from edgepose.devices.shell import script, succeeded
from edgepose.devices.transport import Transport
from edgepose.errors import DeviceError
from edgepose.targets import load_target, targets_of_soc

# In the order of trust; the first is known since Android 12 only.
_SOC = ("ro.soc.model", "ro.board.platform", "ro.product.board", "ro.hardware")
_ABI = "ro.product.cpu.abi"
_PROPERTIES = (
    *_SOC,
    _ABI,
    "ro.product.manufacturer",
    "ro.product.model",
    "ro.build.version.release",
)
_ARCH = {"arm64-v8a": "aarch64", "x86_64": "x86_64"}

_SCRIPT = """
for name; do printf '%s=%s\\n' "$name" "$(getprop "$name")"; done
"""


@dataclass(frozen=True)
class PhoneFacts:
    """``soc`` is every name of the chip that it gives; what it does not say is empty."""

    model: str
    android: str
    abi: str
    soc: tuple[str, ...]

    def __str__(self) -> str:
        said = (
            ("model", self.model),
            ("SoC", " or ".join(self.soc)),
            ("ABI", self.abi),
            ("Android", self.android),
        )
        return ", ".join(f"{name} {value or 'unknown'}" for name, value in said)


def identify(device: Device, deadline: Deadline) -> tuple[Device, PhoneFacts]:
    """``device`` with its serial, where only one phone is there, and with the target that it is.

    A target that ``device`` has already is only checked. Raises UsageError or DeviceError.
    """
    serial = device.serial or only_serial(adb_devices(deadline))
    found = validate(msgspec.structs.replace(device, serial=serial))
    transport = connect(found, deadline)
    try:
        phone = read_phone(transport, deadline)
    finally:
        transport.close()
    target = device.target or target_of(phone)
    check_abi(phone, target)
    return msgspec.structs.replace(found, target=target), phone


def read_phone(transport: Transport, deadline: Deadline) -> PhoneFacts:
    """Ask the phone once. Raises DeviceError where it has no properties, as Android has."""
    completed = transport.run(script(_SCRIPT, *_PROPERTIES), deadline)
    lines = succeeded(completed, "cannot read the phone's properties").text.splitlines()
    facts = parse_properties(dict(line.split("=", 1) for line in lines if "=" in line))
    if not facts.abi:
        raise DeviceError(
            "the device does not say what it is: is it Android?",
            hint="A Linux board is reached by `--ssh`.",
        )
    return facts


def parse_properties(properties: Mapping[str, str]) -> PhoneFacts:
    """Pure: the facts from the values of ``getprop``."""

    def value(name: str) -> str:
        return properties.get(name, "").strip()

    model = f"{value('ro.product.manufacturer')} {value('ro.product.model')}"
    soc = dict.fromkeys(value(name) for name in _SOC if value(name))
    return PhoneFacts(
        model=model.strip(),
        android=value("ro.build.version.release"),
        abi=value(_ABI),
        soc=tuple(soc),
    )


def target_of(phone: PhoneFacts) -> str:
    """The target that lists the phone's chip. Raises DeviceError unless there is just one."""
    for name in phone.soc:
        found = targets_of_soc([name])
        if len(found) == 1:
            return found[0]
        if found:
            raise DeviceError(
                f"several targets fit this phone ({phone}): {', '.join(found)}",
                hint="Choose one with --target.",
            )
    raise DeviceError(
        f"no target lists this phone's chip ({phone})",
        hint="Give the nearest with --target, or write a target file with this chip under `soc`; "
        "see `edgepose targets`.",
    )


def check_abi(phone: PhoneFacts, target: str) -> None:
    """Raise DeviceError where the phone does not run what is built for ``target``."""
    arch = load_target(target).arch
    if _ARCH.get(phone.abi) != arch:
        raise DeviceError(
            f"the phone runs {phone.abi} programs, the target {target} is {arch}",
            hint="Only phones with a 64-bit system (arm64-v8a) can be measured.",
        )
