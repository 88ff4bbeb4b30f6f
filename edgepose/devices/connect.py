"""From an inventory entry to a transport, and where edgepose lives on that device."""

from edgepose.deadline import Deadline
from edgepose.devices.adb import AdbTransport
from edgepose.devices.device import Device
from edgepose.devices.local import LocalTransport
from edgepose.devices.shell import script, succeeded
from edgepose.devices.ssh import SshTransport
from edgepose.devices.transport import Transport
from edgepose.errors import DeviceError
from edgepose.places import user_cache

_DEFAULT_WORKDIR = "~/.edgepose"
# The one folder of a phone where adb's user may write and execute.
_PHONE_WORKDIR = "/data/local/tmp/edgepose"


def connect(device: Device, deadline: Deadline) -> Transport:
    """A transport to ``device`` that has reached it. Close it when done.

    Raises UnreachableError, HostKeyError or AuthenticationError.
    """
    if device.transport == "local":
        return LocalTransport()
    transport = AdbTransport(device) if device.transport == "adb" else SshTransport(device)
    transport.connect(deadline)
    return transport


def workdir_of(device: Device, transport: Transport, deadline: Deadline) -> str:
    """Absolute path of edgepose's folder on ``device``; it need not exist yet."""
    if device.transport == "local" and device.workdir is None:
        return str(user_cache() / "device")
    path = device.workdir or (_PHONE_WORKDIR if device.transport == "adb" else _DEFAULT_WORKDIR)
    if not path.startswith("~/"):
        return path.rstrip("/") or "/"
    answer = transport.run(script('printf %s "$HOME"'), deadline)
    home = succeeded(answer, "cannot find the home folder").text
    if not home.startswith("/"):
        raise DeviceError(
            f"device {device.name!r} has no home folder",
            hint="Give its entry in devices.toml a workdir of its own.",
        )
    return f"{home.rstrip('/')}/{path[2:].rstrip('/')}"
