"""Wheels for a device, fetched on this host: the device needs neither network nor pip."""

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from edgepose.deadline import Deadline
from edgepose.devices.facts import PythonFacts
from edgepose.errors import RuntimeMissingError, ToolchainError
from edgepose.files import folder_atomic, sha256_bytes
from edgepose.places import user_cache

_OLDEST_GLIBC = {"x86_64": 5, "aarch64": 17}
_LEGACY = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}


def platform_tags(machine: str, libc: str) -> list[str]:
    """Platform tags that ``machine`` with ``libc`` ("glibc 2.36") accepts, newest first.

    Raises RuntimeMissingError for another C library: no wheels are made for it.
    """
    match = re.fullmatch(r"glibc (\d+)\.(\d+)(\.\d+)?", libc)
    if match is None or match[1] != "2":
        raise RuntimeMissingError(
            f"the device's C library is not glibc ({libc or 'unknown, perhaps musl'}); "
            "the runtimes are published for glibc only",
            hint="Use a system with glibc, such as Debian, or a recipe with a C++ runner.",
        )
    tags = []
    for minor in range(int(match[2]), _OLDEST_GLIBC.get(machine, 17) - 1, -1):
        tags.append(f"manylinux_2_{minor}_{machine}")
        if minor in _LEGACY:
            tags.append(f"{_LEGACY[minor]}_{machine}")
    return [*tags, f"linux_{machine}"]


def abi_tags(python: PythonFacts) -> list[str]:
    """ABI tags that the interpreter accepts, best first."""
    major, minor = python.version.split(".")[:2]
    return [f"cp{major}{minor}{python.abiflags}", "abi3", "none"]


def machine_of(python: PythonFacts) -> str:
    """The machine that binaries must be for. Raises RuntimeMissingError for 32 bit."""
    if python.bits != 64:
        raise RuntimeMissingError(
            f"the device's Python is a {python.bits}-bit program on {python.machine}; "
            "the runtimes are published for 64 bit only",
            hint="Install the 64-bit system image on the device.",
        )
    return {"arm64": "aarch64", "amd64": "x86_64"}.get(python.machine.lower(), python.machine)


def fetch_wheels(
    requirements: Iterable[str],
    python: PythonFacts,
    deadline: Deadline,
    wheel_folder: Path | None = None,
) -> list[Path]:
    """One wheel per exact requirement, for ``python``; from the cache where it was fetched before.

    ``wheel_folder`` replaces the package index. pip's own settings hold otherwise. Raises
    RuntimeMissingError where there is no such wheel, ToolchainError where pip is missing.
    """
    wanted = sorted(set(requirements))
    options = _pip_options(python)
    key = sha256_bytes("\n".join([*wanted, *options]).encode())[:16]
    kept = user_cache() / "wheels" / key
    if wheel_folder is None and kept.is_dir():
        return sorted(kept.glob("*.whl"))
    source = ["--no-index", "--find-links", str(wheel_folder)] if wheel_folder else []
    if wheel_folder is not None:
        # The user's own wheels may differ under one version: never mixed with the index's.
        kept = kept.with_name(f"{key}-own")
    with folder_atomic(kept) as folder:
        for requirement in wanted:
            _download(requirement, [*options, *source], folder, python, deadline)
    return sorted(kept.glob("*.whl"))


def _pip_options(python: PythonFacts) -> list[str]:
    options = ["--no-deps", "--only-binary=:all:", "--implementation", "cp"]
    options += ["--python-version", ".".join(python.version.split(".")[:2])]
    for tag in abi_tags(python):
        options += ["--abi", tag]
    for tag in platform_tags(machine_of(python), python.libc):
        options += ["--platform", tag]
    return options


def _download(
    requirement: str, options: list[str], folder: Path, python: PythonFacts, deadline: Deadline
) -> None:
    command = [sys.executable, "-m", "pip", "download", "--dest", str(folder), "--no-input"]
    command += ["--disable-pip-version-check", "--quiet", *options, "--", requirement]
    try:
        completed = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=deadline.remaining_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ToolchainError(
            f"pip did not fetch {requirement} in time",
            hint="Try again, or give a folder that has the wheel.",
        ) from None
    if completed.returncode == 0:
        return
    errors = [line for line in completed.stderr.splitlines() if line.startswith("ERROR")]
    reason = (errors or completed.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
    if "No module named pip" in completed.stderr:
        raise ToolchainError(
            f"this host's Python has no pip: {sys.executable}",
            hint=f"{sys.executable} -m ensurepip",
        )
    if any("No matching distribution" in line for line in errors):
        raise RuntimeMissingError(
            f"no wheel of {requirement} for CPython {python.version}, {python.machine}, "
            f"{python.libc}",
            hint="Choose versions that exist for it in a target file of your own (./targets), or "
            "another Python on the device.",
        )
    raise ToolchainError(
        f"pip cannot fetch {requirement}: {reason}",
        hint="Check this host's network and pip settings.",
    )
