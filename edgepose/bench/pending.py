"""What this host remembers of a measurement under way, so that the same command re-attaches."""

import secrets
import time
from pathlib import Path

import msgspec

from edgepose.devices.facts import DeviceFacts
from edgepose.files import write_atomic
from edgepose.fingerprint import fingerprint
from edgepose.places import user_cache

_MAX_AGE_S = 6 * 3600


class Pending(msgspec.Struct, frozen=True):
    """A measurement that was begun: its session's id, and which command it belongs to.

    ``facts`` are the device's at the beginning: what rose since then happened in the measurement.
    """

    session_id: str
    key: str
    started_at_s: float
    facts: DeviceFacts

    def forget(self) -> None:
        """The measurement is over: the next same command starts a new one."""
        _file(self.key).unlink(missing_ok=True)


def find_or_begin(command: dict[str, object], facts: DeviceFacts) -> tuple[Pending, bool]:
    """The measurement that the same ``command`` began on this boot of the device, or a new one.

    ``facts`` are the device's now. Returns it and whether it is an old one.
    """
    key = fingerprint(command)
    path = _file(key)
    try:
        old = msgspec.json.decode(path.read_bytes(), type=Pending)
    except (FileNotFoundError, msgspec.DecodeError):
        old = None
    is_young = old is not None and time.time() - old.started_at_s < _MAX_AGE_S
    if old and is_young and old.facts.boot_id == facts.boot_id:
        return old, True
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    new = Pending(f"{stamp}-{secrets.token_hex(4)}", key, time.time(), facts)
    write_atomic(path, msgspec.json.encode(new))
    return new, False


def _file(key: str) -> Path:
    return user_cache() / "pending" / f"{key}.json"
