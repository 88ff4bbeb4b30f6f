"""Host keys on demand: what a device offers, and pinning it once the user has compared it."""

import msgspec

from edgepose.deadline import Deadline
from edgepose.devices import host_keys
from edgepose.devices.device import Device
from edgepose.devices.host_keys import HostKey
from edgepose.devices.inventory import replace_device
from edgepose.devices.ssh_config import resolve
from edgepose.devices.ssh_link import knock
from edgepose.errors import UsageError


def host_fingerprints(device: Device, deadline: Deadline | None = None) -> list[HostKey]:
    """The key that the host of ``device`` offers now, without logging in there.

    Jump hosts before it are logged in to, under their known keys. Empty for a local device.
    """
    if device.transport != "ssh":
        return []
    until = deadline or Deadline.after(20)
    route = resolve(device)
    link = knock(route[0], until)
    try:
        with link.guarded(until):
            for address in route[:-1]:
                link.label = address.label
                known = host_keys.known_keys(address)
                offered = link.handshake(address, known.accepted, until)
                host_keys.check(offered, known, address, "")
                link.log_in(address)
            link.label = route[-1].label
            return [link.handshake(route[-1], (), until)]
    finally:
        link.close()


def pin(device: Device, key: HostKey) -> Device:
    """Pin ``key`` as the only host key of ``device``, in the file that lists it."""
    if device.transport != "ssh":
        raise UsageError(f"device {device.name!r} is not reached by SSH and has no host key")
    changed = msgspec.structs.replace(device, host_keys=(key.line,))
    replace_device(changed)
    return changed
