"""Host keys: what is pinned or known for a host, and whether the offered key is among it."""

import base64
import binascii
import fnmatch
import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path

from edgepose.devices.ssh_config import SshAddress
from edgepose.errors import HostKeyError


@dataclass(frozen=True)
class HostKey:
    """A public key of a host; ``data`` is its base64 text."""

    kind: str
    data: str

    @classmethod
    def parse(cls, line: str) -> "HostKey":
        kind, data = line.split()[:2]
        return cls(kind, data)

    @property
    def line(self) -> str:
        return f"{self.kind} {self.data}"

    @property
    def fingerprint(self) -> str:
        """As OpenSSH prints it: ``SHA256:…``."""
        try:
            digest = hashlib.sha256(base64.b64decode(self.data)).digest()
        except binascii.Error:
            return "unreadable"
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


@dataclass(frozen=True)
class KnownKeys:
    """What we know of one host: accepted keys, where they stand, and revoked ones."""

    accepted: tuple[HostKey, ...]
    source: str
    revoked: tuple[HostKey, ...] = ()


def known_keys(address: SshAddress) -> KnownKeys:
    """The pinned keys of ``address``, or else those of the known_hosts files."""
    accepted: list[HostKey] = []
    revoked: list[HostKey] = []
    sources: list[str] = []
    for path in address.known_hosts:
        for marker, key in _entries(path, address.key_name):
            if marker == "@revoked":
                revoked.append(key)
            elif not marker:
                accepted.append(key)
                sources.append(str(path))
    if address.host_keys:
        pinned = tuple(HostKey.parse(line) for line in address.host_keys)
        return KnownKeys(pinned, "devices.toml", tuple(revoked))
    return KnownKeys(tuple(accepted), ", ".join(dict.fromkeys(sources)), tuple(revoked))


def check(offered: HostKey, known: KnownKeys, address: SshAddress, name: str) -> None:
    """Raise HostKeyError unless ``offered`` is one of the ``known`` keys.

    ``name`` is the device's; a jump host is trusted through known_hosts only.
    """
    trust = f"edgepose device trust {name}"
    if offered in known.revoked:
        raise HostKeyError(
            f"the host key of {address.label} is marked as revoked: "
            f"{offered.kind} {offered.fingerprint}",
            hint="Do not connect; give the device a new host key.",
        )
    if offered in known.accepted:
        return
    if not known.accepted:
        raise HostKeyError(
            f"the host key of {address.label} is unknown: {offered.kind} {offered.fingerprint}",
            hint=f"Compare it with the device's own and pin it: `{trust}`."
            if name
            else f"Connect to the jump host once with `ssh {address.alias}`.",
        )
    same_kind = [key for key in known.accepted if key.kind == offered.kind] or known.accepted
    expected = ", ".join(f"{key.kind} {key.fingerprint}" for key in same_kind)
    raise HostKeyError(
        f"the host key of {address.label} has changed: {known.source} has {expected}, "
        f"the host offers {offered.kind} {offered.fingerprint}; "
        "it was installed anew, or somebody is in between",
        hint=f"Only if you know why: `{trust}`."
        if name
        else f"Only if you know why: `ssh-keygen -R '{address.key_name}'`.",
    )


def _entries(path: Path, name: str) -> list[tuple[str, HostKey]]:
    """(marker, key) of the lines of a known_hosts file that are about ``name``.

    Read here and not by paramiko, which gives up a whole file at a line that it cannot decode,
    knows no patterns and takes no notice of revoked keys.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        fields = line.split()
        marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
        if len(fields) >= 3 and not fields[0].startswith("#") and _matches(fields[0], name):
            found.append((marker, HostKey(fields[1], fields[2])))
    return found


def _matches(patterns: str, name: str) -> bool:
    if patterns.startswith("|1|"):
        try:
            _, _, salt, digest = patterns.split("|")
            expected = hmac.new(base64.b64decode(salt), name.encode(), hashlib.sha1).digest()
            return hmac.compare_digest(expected, base64.b64decode(digest))
        except (ValueError, binascii.Error):
            return False
    # Brackets are literal in known_hosts ("[host]:2222") but a character class in fnmatch.
    listed = [pattern.lower().replace("[", "[[]") for pattern in patterns.split(",")]
    if any(p.startswith("!") and fnmatch.fnmatchcase(name, p[1:]) for p in listed):
        return False
    return any(fnmatch.fnmatchcase(name, p) for p in listed if not p.startswith("!"))
