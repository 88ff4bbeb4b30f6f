"""The user's inventory: ``devices.toml`` of the project, then that of the user; project wins."""

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import msgspec

from edgepose.config import load_toml, pick
from edgepose.devices.device import LOCAL, Device, check_name, validate
from edgepose.errors import ConfigError, UsageError
from edgepose.files import write_atomic
from edgepose.places import user_config

FILE_NAME = "devices.toml"


class SshPlace(NamedTuple):
    """What ``--ssh`` said; None is left to ``~/.ssh/config``."""

    user: str | None
    host: str
    port: int | None


def inventory_file(user: bool) -> Path:
    """The user's inventory, or the project's in the current folder."""
    return (user_config() if user else Path.cwd()) / FILE_NAME


def list_devices() -> list[Device]:
    """All devices by name, with the built-in ``local`` first."""
    table = _table()
    return [LOCAL, *(table[name] for name in sorted(table) if name != LOCAL.name)]


def find_device(name: str) -> Device:
    """The device ``name``. Raises UsageError that names the nearest ones."""
    return pick(name, _table(), "device", "edgepose device list")


def add_device(device: Device, user: bool = False) -> Path:
    """Append ``device`` to the project's inventory (or the user's); returns the file.

    Raises UsageError where the entry makes no sense or the name is taken there.
    """
    validate(device)
    if device.name == LOCAL.name:
        raise UsageError(
            "the device 'local' is built in", hint="Choose another name for this entry."
        )
    path = inventory_file(user)
    if device.name in _read(path):
        raise UsageError(
            f"device {device.name!r} is already in {path}",
            hint=f"Remove it first: `edgepose device remove {device.name}`.",
        )
    _write(path, [*_blocks(path), _encode(device)])
    return path


def replace_device(device: Device) -> Path:
    """Write the changed ``device`` where its name was found; returns the file."""
    validate(device)
    path = _home_of(device.name)
    blocks = [_encode(device) if _is(block, device.name) else block for block in _blocks(path)]
    _write(path, blocks)
    return path


def remove_device(name: str) -> Path:
    """Remove ``name`` from the file where it was found; returns the file."""
    if name == LOCAL.name:
        raise UsageError("the device 'local' is built in and cannot be removed")
    path = _home_of(name)
    _write(path, [block for block in _blocks(path) if not _is(block, name)])
    return path


def parse_ssh(text: str) -> SshPlace:
    """Read ``host``, ``user@host``, ``user@host:port``, ``[v6]:port`` or an alias.

    Raises UsageError for anything else.
    """
    match = re.fullmatch(
        r"(?:ssh://)?(?:(?P<user>[^@\s:/-][^@\s:/]*)@)?"
        r"(?:\[(?P<v6>[0-9a-fA-F:.%\w]+)\]|(?P<host>[\w][\w.-]*))(?::(?P<port>\d{1,5}))?/?",
        text,
    )
    port = int(match["port"]) if match and match["port"] else None
    if match is None or (port is not None and not 1 <= port <= 65535):
        raise UsageError(
            f"cannot read {text!r} as an SSH destination",
            hint="Write user@host, user@host:port, or an alias of ~/.ssh/config.",
        )
    return SshPlace(match["user"], match["v6"] or match["host"], port)


def _table() -> dict[str, Device]:
    return {
        **_read(inventory_file(user=True)),
        **_read(inventory_file(user=False)),
        LOCAL.name: LOCAL,
    }


def _read(path: Path) -> dict[str, Device]:
    if not path.is_file():
        return {}
    table: dict[str, Device] = {}
    for name, entry in load_toml(path, dict[str, Device]).items():
        check_name(name)
        table[name] = validate(msgspec.structs.replace(entry, name=name))
    return table


def _home_of(name: str) -> Path:
    for user in (False, True):
        path = inventory_file(user)
        if name in _read(path):
            return path
    find_device(name)
    raise UsageError(f"device {name!r} is built in, not an entry of {FILE_NAME}")


def _blocks(path: Path) -> list[str]:
    """The file cut before each table header, so that edits keep the user's comments."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    return [block for block in re.split(r"(?m)^(?=\[)", text) if block.strip()]


def _is(block: str, name: str) -> bool:
    try:
        return name in tomllib.loads(block)
    except tomllib.TOMLDecodeError:
        return False


def _write(path: Path, blocks: list[str]) -> None:
    text = "\n".join(block.strip("\n") + "\n" for block in blocks)
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{path}: cannot be edited automatically: {error}", hint="Edit the file by hand."
        ) from None
    write_atomic(path, text)


def _encode(device: Device) -> str:
    entry = msgspec.structs.replace(device, name="")
    return msgspec.toml.encode({device.name: entry}).decode()
