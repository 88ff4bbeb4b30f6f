"""The arm64 root file system that every emulated board shares: built once, then only read.

mmdebstrap unpacks the packages without running any arm64 code, which takes seconds; what the
post-install scripts would have done, as far as a board needs it, is done here by hand.
"""

import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.emulation.requirements import EmulationError, find_tool, tool

PACKAGES = (
    "base-files",
    "bash",
    "coreutils",
    "dash",
    "debianutils",
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "libgomp1",
    "libstdc++6",
    "mawk",
    "openssh-sftp-server",
    "procps",
    "python3",
    "sed",
    "tar",
    "util-linux",
)
# Raised whenever _finish or LEFT_OUT changes, so that no stale root is taken from the cache.
LAYOUT_VERSION = 1
# Nothing here is missed by a board; etc/apt and resolv.conf would carry the host's settings.
LEFT_OUT = (
    "./dev/*",
    "./etc/apt",
    "./etc/resolv.conf",
    "./usr/lib/aarch64-linux-gnu/gconv/*",
    "./usr/lib/aarch64-linux-gnu/perl/*",
    "./usr/share/doc/*",
    "./usr/share/locale/*",
    "./usr/share/man/*",
    "./usr/share/perl/*",
    "./var/cache/*",
    "./var/lib/apt/*",
)
# Folders that a board mounts its own over; a mount needs something to lie on.
BOUND_FOLDERS = ("dev", "home", "proc", "run", "sys", "tmp", "usr/local")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def cache_folder() -> Path:
    """Where roots and the boards of the command line are kept."""
    chosen = os.environ.get("EDGEPOSE_EMULATION_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "edgepose" / "emulation"


def root_folder() -> Path:
    """The place of the root for this list of packages, whether it is built yet or not."""
    key = "\n".join([_release(), str(LAYOUT_VERSION), *PACKAGES, *LEFT_OUT])
    return cache_folder() / f"root-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def prepare_root() -> Path:
    """Return the shared arm64 root, building it first where the cache lacks it."""
    root = root_folder()
    if root.is_dir():
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    with _locked(root.parent / "lock"):
        if not root.is_dir():  # another process may have built it while we waited
            _build(root)
    return root


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build(root: Path) -> None:
    """Build next to the final place and rename, so that a half-built root is never used."""
    if os.geteuid() != 0 and find_tool("newuidmap") is None:
        raise EmulationError(
            "building the arm64 root as a normal user needs newuidmap: install package uidmap, "
            "or build it once as root and point EDGEPOSE_EMULATION_CACHE at it"
        )
    with tempfile.TemporaryDirectory(dir=root.parent, prefix="building-") as folder:
        building = Path(folder)
        sources = building / "sources.list"
        sources.write_text(_apt_sources())
        archive = building / "root.tar"
        _run(
            [
                tool("mmdebstrap"),
                "--architectures=arm64",
                "--variant=extract",
                "--skip=check/qemu",
                f"--include={','.join(PACKAGES)}",
                _release(),
                str(archive),
                str(sources),
            ]
        )
        unpacked = building / "root"
        unpacked.mkdir()
        # Not with its owners and set-uid bits: the board has one user, and to the host the
        # cache is only data.
        _run(
            [
                tool("tar"),
                "--extract",
                f"--file={archive}",
                f"--directory={unpacked}",
                "--no-same-owner",
                "--no-same-permissions",
                *(f"--exclude={pattern}" for pattern in LEFT_OUT),
            ]
        )
        _finish(unpacked)
        unpacked.rename(root)


def _finish(root: Path) -> None:
    """Do by hand what the post-install scripts would have done for us."""
    root.chmod(0o755)
    for folder in BOUND_FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")
    for link, target in (("awk", "mawk"), ("which", "which.debianutils")):
        with contextlib.suppress(FileExistsError):
            (root / "usr/bin" / link).symlink_to(target)
    _compile_library(root)


def _compile_library(root: Path) -> None:
    """Cache the guest's standard library as byte code, which more than halves Python's start.

    The guest cannot do so itself, for its root is read-only. Byte code is the same on every
    architecture, but only for one minor version: with another one the board is just slower.
    """
    library = f"python{sys.version_info.major}.{sys.version_info.minor}"
    folder = root / "usr/lib" / library
    if folder.is_dir():
        compileall = [sys.executable, "-I", "-m", "compileall", "-q", "-s", str(root), "-p", "/"]
        _run([*compileall, str(folder)])


def _release() -> str:
    """The code name of the Debian release: the host's, as its apt sources are the ones we use."""
    chosen = os.environ.get("EDGEPOSE_EMULATION_RELEASE")
    if chosen:
        return chosen
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    raise EmulationError("no VERSION_CODENAME in /etc/os-release: set EDGEPOSE_EMULATION_RELEASE")


def _apt_sources() -> str:
    """The Debian part of this machine's apt sources, or those of a file the user names."""
    chosen = os.environ.get("EDGEPOSE_EMULATION_SOURCES")
    if chosen:
        return Path(chosen).read_text()
    apt_get = find_tool("apt-get")
    lines = set()
    if apt_get is not None:
        # apt itself does not tell the key of a source, and mmdebstrap wants it named
        key = f"[signed-by={KEYRING}] " if KEYRING.is_file() else ""
        line = f"deb {key}$(REPO_URI) $(RELEASE) $(COMPONENT)"
        query = ["indextargets", "--format", line, "Identifier: Packages", "Origin: Debian"]
        found = _run([apt_get, *query]).splitlines()
        lines = {line for line in found if f" {_release()}" in line}
    if not lines:
        raise EmulationError(
            f"apt knows no Debian source of {_release()}: run apt-get update; on another "
            "distribution name a sources.list in EDGEPOSE_EMULATION_SOURCES and its release in "
            "EDGEPOSE_EMULATION_RELEASE"
        )
    return "\n".join(sorted(lines)) + "\n"


def _run(argv: list[str]) -> str:
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        said = "\n".join(done.stderr.strip().splitlines()[-10:])
        name = Path(argv[0]).name
        raise EmulationError(f"{name} failed with status {done.returncode}:\n{said}")
    return done.stdout
