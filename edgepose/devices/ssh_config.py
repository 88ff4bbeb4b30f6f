"""Where an SSH device really is: its entry completed by ``~/.ssh/config``, with its jump hosts."""

import getpass
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko

from edgepose.devices.device import Device
from edgepose.devices.inventory import parse_ssh
from edgepose.errors import ConfigError

_MAX_JUMPS = 8
_MAX_INCLUDES = 16
_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")


@dataclass(frozen=True)
class SshAddress:
    """One hop; ``keys_named`` means that only ``identity_files`` may be offered."""

    alias: str
    host: str
    port: int
    user: str
    identity_files: tuple[Path, ...]
    keys_named: bool
    host_keys: tuple[str, ...]
    known_hosts: tuple[Path, ...]
    key_name: str

    @property
    def label(self) -> str:
        return f"{self.host}:{self.port}"


def resolve(device: Device) -> list[SshAddress]:
    """The hops to ``device``, jump hosts first, the device last.

    Raises ConfigError where ``~/.ssh/config`` is unreadable or asks for what we cannot do.
    """
    config = _read_config(Path("~/.ssh/config").expanduser())
    try:
        return _hops(config, device, depth=0)
    except paramiko.SSHException as error:
        raise ConfigError(f"~/.ssh/config: {error}", hint="Correct the file.") from None


def _hops(config: paramiko.SSHConfig, device: Device, depth: int) -> list[SshAddress]:
    assert device.host is not None
    if depth > _MAX_JUMPS:
        raise ConfigError(f"~/.ssh/config: ProxyJump of {device.host} leads in a circle")
    options = config.lookup(device.host)
    jumps: list[SshAddress] = []
    jump_list = options.get("proxyjump", "none")
    if jump_list.lower() != "none":
        for text in jump_list.split(","):
            place = parse_ssh(text.strip())
            jump = Device(
                target="", transport="ssh", host=place.host, user=place.user, port=place.port
            )
            # As in OpenSSH, only the first of several has jumps of its own.
            hops = _hops(config, jump, depth + 1)
            jumps += hops if not jumps else hops[-1:]
    elif (options.get("proxycommand") or "none").lower() != "none":
        raise ConfigError(
            f"~/.ssh/config: ProxyCommand of {device.host} is not supported",
            hint="Use ProxyJump instead.",
        )
    return [*jumps, _address(device, options)]


def _address(device: Device, options: paramiko.SSHConfigDict) -> SshAddress:
    assert device.host is not None
    named = device.identity_file or options.get("identityfile")
    ssh_folder = Path("~/.ssh").expanduser()
    if device.identity_file:
        identities = [Path(device.identity_file).expanduser()]
    elif named:
        identities = [Path(path).expanduser() for path in options["identityfile"]]
    else:
        identities = [ssh_folder / name for name in _DEFAULT_KEYS]
    known = options.get("userknownhostsfile", str(ssh_folder / "known_hosts")).split()
    host = options["hostname"]
    port = device.port or int(options.get("port", 22))
    name = options.get("hostkeyalias", host).lower()
    return SshAddress(
        alias=device.host,
        host=host,
        port=port,
        user=device.user or options.get("user") or getpass.getuser(),
        identity_files=tuple(identities),
        keys_named=bool(device.identity_file) or options.get("identitiesonly") == "yes",
        host_keys=device.host_keys,
        known_hosts=(
            *(Path(path).expanduser() for path in known),
            Path("/etc/ssh/ssh_known_hosts"),
        ),
        key_name=name if port == 22 or "hostkeyalias" in options else f"[{name}]:{port}",
    )


def _read_config(path: Path) -> paramiko.SSHConfig:
    try:
        text = "\n".join(_lines(path, depth=0)) if path.is_file() else ""
        return paramiko.SSHConfig.from_file(io.StringIO(text))
    except (OSError, UnicodeDecodeError, paramiko.SSHException) as error:
        raise ConfigError(f"{path}: cannot be read: {error}", hint="Correct the file.") from None


def _lines(path: Path, depth: int) -> Iterator[str]:
    """The lines of ``path`` with Include expanded, which paramiko ignores."""
    if depth > _MAX_INCLUDES:
        raise ConfigError(f"{path}: Include leads in a circle")
    section = "Host *"
    for line in path.read_text(encoding="utf-8").splitlines():
        keyword, _, rest = line.strip().replace("=", " ", 1).partition(" ")
        if keyword.lower() == "include":
            for pattern in rest.split():
                full = Path("~/.ssh").expanduser() / Path(pattern.strip('"')).expanduser()
                for included in sorted(Path("/").glob(str(full).lstrip("/"))):
                    yield from _lines(included, depth + 1)
            yield section
            continue
        if keyword.lower() in ("host", "match"):
            section = line
        yield line
