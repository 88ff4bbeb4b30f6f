"""A lease: an expiring, exclusive hold on a device, without any daemon there.

Holds are numbered: ``<workdir>/lease/<number>/holder.json``, the highest number counts. Whoever
makes the next folder (mkdir is atomic) has taken over, so two cannot break one expired lease, and
a number is a fencing token: it never comes back. Expiry is in seconds of the device's uptime under
its boot id, for boards without a battery-backed clock jump by years when they reach the network.
"""

import contextlib
import getpass
import json
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgepose.deadline import Deadline
from edgepose.devices.lease_state import Holder, State, judge, parse_state
from edgepose.devices.shell import check_path, script, succeeded
from edgepose.devices.transport import Transport
from edgepose.errors import DeviceError, LeaseError

_ATTEMPTS = 5
# Tokens of leases that this process could not give back, for the link was lost: free for itself.
_ABANDONED: set[str] = set()

_SHOW = """
mkdir -p "$1" && cd "$1" || exit 1
top=0
for number in [0-9]*; do [ -d "$number" ] && [ "$number" -gt "$top" ] && top=$number; done
cat /proc/sys/kernel/random/boot_id
cut -d. -f1 /proc/uptime
echo "$top"
made=$(stat -c %Y "$top" 2>/dev/null) || made=$(date +%s)
echo $(($(date +%s) - made))
if [ -e "$top/released" ]; then echo released; else echo held; fi
cat "$top/holder.json" 2>/dev/null
exit 0
"""

# Prints the uptime at which the lease ends, or "lost" where somebody was quicker. A higher number
# exists only if we were asleep between looking and making our folder.
_CLAIM = """
cd "$1" || exit 1
mkdir "$2" 2>/dev/null || { [ -d "$2" ] && echo lost && exit 0; mkdir "$2" && rmdir "$2"; exit 1; }
for number in [0-9]*; do
  [ "$number" -gt "$2" ] && { rmdir "$2" 2>/dev/null; echo lost; exit 0; }
done
read -r boot </proc/sys/kernel/random/boot_id
until=$(($(cut -d. -f1 /proc/uptime) + $3))
if ! printf '%s,"boot_id":"%s","expires_at_s":%s}\\n' "$4" "$boot" "$until" >"$2/new" ||
   ! mv "$2/new" "$2/holder.json"
then rm -f "$2/new"; rmdir "$2"; exit 1
fi
for number in [0-9]*; do [ "$number" -lt "$2" ] && rm -rf "$number"; done
echo "$until"
"""

# $5 is the uptime until which the lease is surely ours; "0" as time to live releases it.
_RENEW = """
cd "$1" || exit 1
for number in [0-9]*; do [ "$number" -gt "$2" ] && echo lost && exit 0; done
grep -q "$6" "$2/holder.json" 2>/dev/null || { echo lost; exit 0; }
[ "$3" -eq 0 ] && { : >"$2/released" && echo released; exit; }
read -r boot </proc/sys/kernel/random/boot_id
now=$(cut -d. -f1 /proc/uptime)
[ "$boot" = "$7" ] && [ "$now" -lt "$5" ] || { echo lost; exit 0; }
printf '%s,"boot_id":"%s","expires_at_s":%s}\\n' "$4" "$boot" $((now + $3)) >"$2/new" &&
mv "$2/new" "$2/holder.json" && echo $((now + $3))
"""


@dataclass
class Lease:
    """Our hold on a device, made by ``acquire``; ``number`` is the fencing token."""

    transport: Transport
    folder: str
    number: int
    ttl_s: int
    holder: Holder

    def renew(self, deadline: Deadline) -> None:
        """Hold for another ``ttl_s`` from now. Raises LeaseError where it is no longer ours."""
        answer = self._touch(self.ttl_s, deadline)
        if not answer.isdigit():
            raise LeaseError(
                f"our lease on the device ({self.holder.purpose}) has expired or was taken over",
                hint="Start again; what was measured since the last renewal is void.",
            )
        self.holder = msgspec.structs.replace(self.holder, expires_at_s=int(answer))

    def release(self, deadline: Deadline) -> None:
        """Give it back. A lease that is no longer ours is left alone."""
        self._touch(0, deadline)

    def _touch(self, ttl_s: int, deadline: Deadline) -> str:
        holder = self.holder
        arguments = (str(self.number), str(ttl_s), _head(holder), str(holder.expires_at_s))
        command = script(_RENEW, self.folder, *arguments, holder.token, holder.boot_id)
        return succeeded(self.transport.run(command, deadline), "cannot renew the lease").text


def acquire(
    transport: Transport, workdir: str, ttl_s: float, purpose: str, deadline: Deadline
) -> Lease:
    """Take the device for ``ttl_s`` seconds.

    A lease that has expired, that was released, that is of an earlier boot, or whose process on
    this very host has died is taken over. Raises LeaseError that names the holder otherwise.
    """
    check_path(workdir)
    folder = f"{workdir}/lease"
    for _ in range(_ATTEMPTS):
        state = _look(transport, folder, deadline)
        blocker = judge(state, _is_our_dead_process)
        if blocker is not None:
            raise LeaseError(
                f"the device is held by {blocker}",
                hint="Wait until it is free, or ask the holder to release it.",
            )
        holder = _ourselves(purpose, state.boot_id)
        number = state.number + 1
        command = script(_CLAIM, folder, str(number), str(max(1, int(ttl_s))), _head(holder))
        answer = succeeded(transport.run(command, deadline), f"cannot write {folder}").text
        if answer.isdigit():
            holder = msgspec.structs.replace(holder, expires_at_s=int(answer))
            return Lease(transport, folder, number, max(1, int(ttl_s)), holder)
    raise LeaseError("others took the device each time", hint="Try again in a moment.")


def look(transport: Transport, workdir: str, deadline: Deadline) -> str | None:
    """Who holds the device now and for how long, as text; None where it is free."""
    return judge(_look(transport, f"{workdir}/lease", deadline), _is_our_dead_process)


@contextlib.contextmanager
def held(
    transport: Transport, workdir: str, ttl_s: float, purpose: str, deadline: Deadline
) -> Iterator[Lease]:
    """Hold the device for the block; the block renews the lease, the end releases it."""
    lease = acquire(transport, workdir, ttl_s, purpose, deadline)
    try:
        yield lease
    finally:
        # What cannot be released expires by itself, and must not hide the block's own error.
        try:
            lease.release(Deadline.after(15))
        except DeviceError:
            _ABANDONED.add(lease.holder.token)


def _look(transport: Transport, folder: str, deadline: Deadline) -> State:
    shown = succeeded(transport.run(script(_SHOW, folder), deadline), f"cannot use {folder}")
    return parse_state(shown.text)


def _ourselves(purpose: str, boot_id: str) -> Holder:
    return Holder(
        owner=f"{getpass.getuser()}@{socket.gethostname()}",
        pid=os.getpid(),
        pid_space=_pid_space(),
        token=secrets.token_hex(16),
        purpose=purpose,
        boot_id=boot_id,
        expires_at_s=0,
    )


def _head(holder: Holder) -> str:
    """The holder as JSON without what the device fills in, and without the closing brace."""
    fields = msgspec.to_builtins(holder)
    del fields["boot_id"], fields["expires_at_s"]
    return json.dumps(fields)[:-1]


def _is_our_dead_process(holder: Holder) -> bool:
    if holder.token in _ABANDONED:
        return True
    us = f"{getpass.getuser()}@{socket.gethostname()}"
    if holder.owner != us or holder.pid_space != _pid_space():
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def _pid_space() -> str:
    """This kernel's boot and process-id name space: containers may share a host name."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""
