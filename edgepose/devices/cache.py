"""Files on a device by content: ``<workdir>/cache/<sha256>``, never sent twice."""

import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from edgepose.deadline import Deadline
from edgepose.devices.shell import check_path, script, succeeded
from edgepose.devices.transport import Transport
from edgepose.errors import DeviceError, DeviceFullError, UsageError

_LIST = """
mkdir -p "$1" && cd "$1" || exit 1
df -Pk . | tail -n 1
for file in *; do [ -f "$file" ] && echo "$(wc -c <"$file") $file"; done
exit 0
"""

# The file gets its final name only when its content is what the name says.
_ADMIT = """
cd "$1" || exit 1
found=$(sha256sum "$2") || { rm -f "$2"; exit 1; }
found=${found%% *}
if [ "$found" = "$3" ]; then mv -f "$2" "$3"; else rm -f "$2"; fi
echo "$found"
"""


def ensure_cached(
    transport: Transport, workdir: str, files: Mapping[str, Path], deadline: Deadline
) -> dict[str, str]:
    """Send the ``files`` (sha256 → local path) that the device lacks; sha256 → remote path.

    Raises DeviceFullError, with figures, before anything is sent where they do not fit, and
    DeviceError where a file arrives with another hash.
    """
    check_path(workdir)
    for name in files:
        if not re.fullmatch(r"[0-9a-f]{64}", name):
            raise UsageError(f"{name!r} is not a SHA-256 in hexadecimal digits")
    folder = f"{workdir}/cache"
    sizes = {name: _size(path) for name, path in files.items()}
    listing = succeeded(transport.run(script(_LIST, folder), deadline), f"cannot use {folder}")
    free_kib, present = _parse_listing(listing.text)
    missing = {name: path for name, path in files.items() if present.get(name) != sizes[name]}
    check_room(sum(sizes[name] for name in missing), free_kib, folder)
    for name, path in missing.items():
        _send(transport, folder, name, path, deadline)
    return {name: f"{folder}/{name}" for name in files}


def check_room(needed: int, free_kib: int | None, folder: str) -> None:
    """Raise DeviceFullError where ``needed`` bytes are more than what is free."""
    if free_kib is not None and needed > free_kib * 1024:
        raise DeviceFullError(
            f"{folder}: {needed / 2**20:.1f} MiB needed, {free_kib / 1024:.1f} MiB free",
            hint="Free some space on the device and try again.",
        )


def free_kib(df_line: str) -> int | None:
    """Free space from a line of ``df -Pk``; None where it is not such a line."""
    match = re.search(r"\s\d+\s+\d+\s+(\d+)\s+\d+%\s", df_line)
    return int(match[1]) if match else None


def _parse_listing(text: str) -> tuple[int | None, dict[str, int]]:
    first, *rest = text.splitlines() or [""]
    present = {}
    for line in rest:
        size, _, name = line.strip().partition(" ")
        if size.isdigit():
            present[name] = int(size)
    return free_kib(first), present


def _send(transport: Transport, folder: str, name: str, path: Path, deadline: Deadline) -> None:
    incoming = f"incoming-{secrets.token_hex(8)}"
    transport.put(path, f"{folder}/{incoming}", deadline)
    doing = f"cannot store {path.name} in {folder}"
    admitted = transport.run(script(_ADMIT, folder, incoming, name), deadline)
    found = succeeded(admitted, doing).text
    if found != name:
        raise DeviceError(
            f"{doing}: it arrived with SHA-256 {found} instead of {name}",
            hint="Try again; if it stays, the file has changed since it was hashed, "
            "or the device's storage is failing.",
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DeviceError(f"cannot read {path}: {error.strerror}") from None
