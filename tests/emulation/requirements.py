"""What an emulated board needs of the machine it runs on, and how to get it."""

import os
import shutil
import subprocess
from pathlib import Path

INSTALL = "run scripts/install-debian-packages tests"
BINFMT_FOLDER = Path("/proc/sys/fs/binfmt_misc")
BINFMT_NAME = "qemu-aarch64"

# command -> the Debian package that brings it
TOOLS = {
    "bwrap": "bubblewrap",
    "mmdebstrap": "mmdebstrap",
    "qemu-aarch64-static": "qemu-user-static",
    "sftp": "openssh-client",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
    "tar": "tar",
}


class EmulationError(Exception):
    """An emulated board cannot be built, started or used; the text says what to do."""


def find_tool(name: str) -> str | None:
    """The path of a command, also where a normal user's PATH lacks the administrator's folders."""
    path = os.environ.get("PATH", os.defpath)
    return shutil.which(name, path=f"{path}:/usr/local/sbin:/usr/sbin:/sbin")


def tool(name: str) -> str:
    """The path of a command that must be there."""
    found = find_tool(name)
    if found is None:
        raise EmulationError(
            f"{name} is not installed (package {TOOLS.get(name, name)}): {INSTALL}"
        )
    return found


def binfmt_enabled() -> bool:
    """Whether the kernel runs arm64 programs through qemu."""
    try:
        return (BINFMT_FOLDER / BINFMT_NAME).read_text().startswith("enabled")
    except OSError:
        return False


def enable_binfmt() -> None:
    """Let the kernel run arm64 programs through qemu; as root only, and harmless when it does.

    The registration is the machine's, not ours: it stays after the tests, as it would after an
    ordinary installation of qemu-user-static.
    """
    if binfmt_enabled() or os.geteuid() != 0 or find_tool("update-binfmts") is None:
        return
    if not (BINFMT_FOLDER / "register").exists():
        _try([tool("mount"), "-t", "binfmt_misc", "binfmt_misc", str(BINFMT_FOLDER)])
    _try([tool("update-binfmts"), "--enable", BINFMT_NAME])


def missing_requirements() -> list[str]:
    """Everything that keeps a board from running here, each with the way to get it.

    Enables binfmt_misc on the way when it is off and we are root.
    """
    missing = [
        f"{name} is not installed (package {package}): {INSTALL}"
        for name, package in TOOLS.items()
        if find_tool(name) is None
    ]
    enable_binfmt()
    if not binfmt_enabled():
        missing.append(
            f"the kernel does not run arm64 programs ({BINFMT_FOLDER / BINFMT_NAME} is not "
            "enabled): as root, mount -t binfmt_misc binfmt_misc "
            f"{BINFMT_FOLDER}; update-binfmts --enable {BINFMT_NAME} (package binfmt-support)"
        )
    bwrap = find_tool("bwrap")
    if bwrap is not None:
        trial = _try([bwrap, "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "true"])
        if trial is not None:
            missing.append(
                f"the kernel refuses a user namespace ({trial}): "
                "set sysctl user.max_user_namespaces above 0 and, where they exist, "
                "kernel.unprivileged_userns_clone=1 and "
                "kernel.apparmor_restrict_unprivileged_userns=0"
            )
    return missing


def _try(argv: list[str]) -> str | None:
    """Run a command; None when it succeeded, otherwise the last line it said."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else f"{argv[0]} ended with {done.returncode}"
