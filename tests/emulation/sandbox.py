"""The two bubblewrap sandboxes of a board, as argument lists, and the files sshd needs.

The outer one is the board's power: one pid namespace that holds the real host sshd and
everything ever started through it, with the guest's file system mounted at GUEST. The inner one
is one session: it makes GUEST the root and enters it. It has no pid namespace of its own, so
what a session detaches lives on after it, as on a real board.

In both we are an ordinary user with the board's uid, whoever runs the tests, because sshd as
root would want accounts and privileges that a user namespace does not have.
"""

import shlex
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

from tests.emulation.identity import UID, BoardIdentity
from tests.emulation.requirements import EmulationError, tool

# Within the outer sandbox /run is an empty tmpfs: free of the host's sockets, and ours to fill.
GUEST = "/run/board"
SFTP_SERVER = "/usr/lib/openssh/sftp-server"
GUEST_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Scratch:
    """The folders and files of one board on the host."""

    folder: Path

    @property
    def machine(self) -> Path:
        """What the guest sees over the shared root: etc, sys, usr/local, proc/cpuinfo."""
        return self.folder / "machine"

    @property
    def home(self) -> Path:
        """The home folder of the board's user."""
        return self.folder / "home"

    @property
    def host(self) -> Path:
        """sshd's keys, configuration and log, which the guest does not see."""
        return self.folder / "host"


def power_command(
    identity: BoardIdentity, root: Path, scratch: Scratch, home_size_mib: int | None, info: int
) -> list[str]:
    """The command that switches a board on; it ends when the board does.

    bubblewrap reports the pid of the namespace's init to the file descriptor `info`. Standard
    input is the power cable: the board dies as soon as nobody holds the other end.
    """
    write_boot_id(scratch)
    machine, host = scratch.machine, scratch.host
    home = f"{GUEST}/home/{identity.user}"
    if home_size_mib is None:
        home_mount = ["--bind", str(scratch.home), home]
    else:
        home_mount = ["--size", str(home_size_mib * 2**20), "--tmpfs", home]
    return [
        tool("bwrap"),
        *("--unshare-user", "--uid", str(UID), "--gid", str(UID)),
        *(
            "--unshare-pid",
            "--as-pid-1",
            "--unshare-ipc",
            "--unshare-uts",
            "--hostname",
            identity.name,
        ),
        *("--info-fd", str(info)),
        # what sshd sees: the host, read-only, with its own accounts
        *("--ro-bind", "/", "/"),
        *("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run"),
        *("--ro-bind", str(host / "passwd"), "/etc/passwd"),
        *("--ro-bind", str(host / "group"), "/etc/group"),
        *("--ro-bind", str(scratch.folder), str(scratch.folder)),
        # what the guest sees
        *("--ro-bind", str(root), GUEST),
        *("--ro-bind", str(machine / "etc"), f"{GUEST}/etc"),
        *("--ro-bind", str(machine / "usr/local"), f"{GUEST}/usr/local"),
        # not read-only: a test may hand a knob to the board's user, as udev rules do
        *("--bind", str(machine / "sys"), f"{GUEST}/sys"),
        *("--proc", f"{GUEST}/proc"),
        *("--ro-bind", str(machine / "proc/cpuinfo"), f"{GUEST}/proc/cpuinfo"),
        *("--ro-bind", str(machine / "proc/boot_id"), f"{GUEST}/proc/sys/kernel/random/boot_id"),
        *("--perms", "1777", "--tmpfs", f"{GUEST}/tmp"),
        *("--tmpfs", f"{GUEST}/run", "--tmpfs", f"{GUEST}/home"),
        *home_mount,
        *("--chdir", "/"),
        *("/bin/sh", "-c", _INIT, "board"),
        *(tool("sshd"), "-D", "-e", "-f", str(host / "sshd_config")),
    ]


# The board's init: with it goes its whole pid namespace. (bubblewrap's own init would wait for
# the last detached process instead.) It ends with sshd, and sshd when the cable is pulled.
_INIT = """\
exec 3<&0 0</dev/null
"$@" 3<&- & sshd=$!
{ cat <&3 >/dev/null; kill -KILL $sshd; } &
wait $sshd
"""


# What every login runs. Commands are for the board's bash, whatever they hold.
_ENTER = """\
#!/bin/sh
set -- {session}
case "$SSH_ORIGINAL_COMMAND" in
{sftp_server}) exec "$@" {sftp_server} ;;
"") exec "$@" --setenv TERM "${{TERM:-dumb}}" /bin/bash -l ;;
*) exec "$@" /bin/bash -c "$SSH_ORIGINAL_COMMAND" ;;
esac
"""


def session_command(identity: BoardIdentity) -> list[str]:
    """The command that enters the guest, to be followed by the guest's command."""
    home = f"/home/{identity.user}"
    environment = {
        "HOME": home,
        "LANG": "C.UTF-8",
        "LOGNAME": identity.user,
        "PATH": GUEST_PATH,
        "QEMU_CPU": identity.qemu_cpu,
        "QEMU_UNAME": identity.uname,
        "SHELL": "/bin/bash",
        "USER": identity.user,
    }
    return [
        tool("bwrap"),
        "--unshare-user",
        *("--bind", GUEST, "/", "--dev-bind", "/dev", "/dev", "--chdir", home, "--clearenv"),
        *(word for name, value in environment.items() for word in ("--setenv", name, value)),
    ]


def write_host_files(identity: BoardIdentity, scratch: Scratch, port: int) -> None:
    """Write what sshd reads: keys, configuration, accounts and the script every login runs."""
    host = scratch.host
    for key in ("host_key", "client_key"):
        _make_key(host / key)
    # The shell here runs only the script below, so it is the host's; the board's user has bash.
    (host / "passwd").write_text(f"{identity.user}:x:{UID}:{UID}::{scratch.home}:/bin/sh\n")
    # Without a group tty: its number has no meaning in our namespace, and sshd would refuse a
    # terminal that it cannot give to that group.
    (host / "group").write_text(f"{identity.user}:x:{UID}:\n")
    enter = host / "enter"
    session = shlex.join(session_command(identity))
    enter.write_text(_ENTER.format(session=session, sftp_server=SFTP_SERVER))
    enter.chmod(0o755)
    settings = [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f'HostKey "{host / "host_key"}"',
        f'AuthorizedKeysFile "{str(host / "client_key.pub").replace("%", "%%")}"',
        f"AllowUsers {identity.user}",
        f"ForceCommand {shlex.quote(str(enter))}",
        f"Subsystem sftp {SFTP_SERVER}",
        "PidFile none",
        "UsePAM no",
        "UseDNS no",
        "StrictModes no",  # the folders above the scratch are not ours to judge
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitUserRC no",
        "PrintMotd no",
        "PrintLastLog no",
        "MaxStartups 100",
        "MaxSessions 100",
    ]
    (host / "sshd_config").write_text("\n".join(settings) + "\n")


def write_boot_id(scratch: Scratch) -> None:
    """Give this start of the board its own boot id, as Linux does."""
    path = scratch.machine / "proc/boot_id"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{uuid.uuid4()}\n")


def _make_key(path: Path) -> None:
    """Make a key pair once; a board keeps its own as long as its scratch folder lives."""
    if path.exists():
        return
    keygen = [tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
    done = subprocess.run(keygen, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise EmulationError(f"ssh-keygen failed: {done.stderr.strip()}")
