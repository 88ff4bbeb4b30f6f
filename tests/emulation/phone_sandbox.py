"""The sandboxes of a phone, as argument lists.

The outer one is its power: one pid namespace that holds the daemon and everything started through
it, with the phone's file system at GUEST. The inner one is one session: it makes GUEST the root.
"""

from dataclasses import dataclass
from pathlib import Path

from tests.emulation.phone_identity import PhoneIdentity
from tests.emulation.phone_process import REPOSITORY, daemon_command
from tests.emulation.requirements import tool
from tests.emulation.sandbox import GUEST

SHELL_UID = 2000  # Android's user of adb's shell
# What of the shared arm64 root a phone has; the rest of a phone's root is its own.
_ROOT_FOLDERS = ("bin", "etc", "lib", "usr")
_PATH = "/system/bin:/vendor/bin:/usr/bin:/bin"

# On a phone /sdcard is mounted noexec. bubblewrap cannot, so it is done before, in a mount
# namespace that ends with the phone.
_MOUNT_SDCARD = """
sdcard=$1; shift
mount --bind "$sdcard" "$sdcard" && mount -o remount,bind,noexec "$sdcard" || exit 1
exec "$@"
"""
# The phone's init: it reaps what sessions leave behind, and goes down with the daemon.
_INIT = 'exec 3<&0; "$@" <&3 & wait $!'


@dataclass(frozen=True)
class PhoneScratch:
    """The folders of one phone on the host."""

    folder: Path

    @property
    def machine(self) -> Path:
        """What it is made of: system, vendor, sys, and files of proc."""
        return self.folder / "machine"

    @property
    def data(self) -> Path:
        """/data/local/tmp"""
        return self.folder / "data"

    @property
    def sdcard(self) -> Path:
        return self.folder / "sdcard"


def phone_command(
    identity: PhoneIdentity, root: Path, scratch: PhoneScratch, port: int, data_size_mib: int | None
) -> list[str]:
    """The whole phone as one command, which ends when its input does.

    /data/local/tmp of a limited size lives in memory, and is empty after a power cut.
    """
    machine = scratch.machine
    data = ["--bind", str(scratch.data)]
    if data_size_mib is not None:
        data = ["--size", str(data_size_mib * 2**20), "--tmpfs"]
    return [
        *(tool("unshare"), "--user", "--map-root-user", "--mount"),
        *("sh", "-c", _MOUNT_SDCARD, "phone", str(scratch.sdcard)),
        tool("bwrap"),
        *("--unshare-user", "--uid", str(SHELL_UID), "--gid", str(SHELL_UID)),
        *("--unshare-pid", "--as-pid-1", "--die-with-parent"),
        # what the daemon sees: the host, read-only, and the phone's files
        *("--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run"),
        *("--perms", "0755", "--tmpfs", GUEST),
        # what the phone's commands see
        *(word for name in _ROOT_FOLDERS for word in _bound(root / name, name)),
        *(word for name in ("system", "vendor", "sys") for word in _bound(machine / name, name)),
        *("--proc", f"{GUEST}/proc", "--dir", f"{GUEST}/dev"),
        *_bound(machine / "proc/cpuinfo", "proc/cpuinfo"),
        *_bound(machine / "proc/boot_id", "proc/sys/kernel/random/boot_id"),
        *("--dir", f"{GUEST}/data/local", *data, f"{GUEST}/data/local/tmp"),
        *("--bind", str(scratch.sdcard), f"{GUEST}/sdcard", "--remount-ro", GUEST),
        *("--chdir", str(REPOSITORY)),
        *("/bin/sh", "-c", _INIT, "phone"),
        *daemon_command(port, GUEST, identity.banner(), _session_command(identity)),
    ]


def _bound(source: Path, place: str) -> list[str]:
    return ["--ro-bind", str(source), f"{GUEST}/{place}"]


def _session_command(identity: PhoneIdentity) -> list[str]:
    """The phone's shell. It has no pid namespace of its own: what it detaches lives on."""
    environment = {
        "ANDROID_DATA": "/data",
        "ANDROID_ROOT": "/system",
        "HOME": "/",
        "PATH": _PATH,
        "QEMU_CPU": identity.qemu_cpu,
        "QEMU_UNAME": identity.uname,
        "TMPDIR": "/data/local/tmp",
        "USER": "shell",
    }
    return [
        tool("bwrap"),
        *("--unshare-user", "--bind", GUEST, "/", "--dev-bind", "/dev", "/dev"),
        *("--chdir", "/", "--clearenv"),
        *(word for pair in environment.items() for word in ("--setenv", *pair)),
        "/system/bin/sh",
    ]
