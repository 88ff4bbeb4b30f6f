"""Put the runtimes that a Python runner needs on a device, from wheels of this host."""

import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgepose.deadline import Deadline
from edgepose.devices.cache import check_room, ensure_cached
from edgepose.devices.connect import connect, workdir_of
from edgepose.devices.device import Device
from edgepose.devices.facts import PythonFacts, read_facts
from edgepose.devices.python import (
    modules_of,
    no_python,
    python_command,
    site_folder,
    try_imports,
)
from edgepose.devices.shell import succeeded
from edgepose.devices.transport import Transport
from edgepose.devices.wheels import fetch_wheels
from edgepose.errors import RuntimeMissingError, UsageError
from edgepose.files import sha256_bytes, sha256_file
from edgepose.targets import Target, load_target

_TIME_S = 1800.0

# Must run on Python 3.6. The folder gets its name when it is complete; the one used until now
# stays, for a run may still import from it, and older ones go.
_UNPACK = """
import os, shutil, sys, tempfile, zipfile
root, name, wheels = sys.argv[1], sys.argv[2], sys.argv[3:]
final, current = os.path.join(root, name), os.path.join(root, "current")

def merge(source, destination):
    for folder, _, files in os.walk(source):
        into = os.path.join(destination, os.path.relpath(folder, source))
        os.makedirs(into, exist_ok=True)
        for file in files:
            os.replace(os.path.join(folder, file), os.path.join(into, file))

def unpack():
    os.makedirs(root, exist_ok=True)
    if not os.path.isdir(final):
        temporary = tempfile.mkdtemp(dir=root, prefix=".new-")
        try:
            for wheel in wheels:
                with zipfile.ZipFile(wheel) as archive:
                    archive.extractall(temporary)
            for data in [each for each in os.listdir(temporary) if each.endswith(".data")]:
                for kind in ("purelib", "platlib"):
                    merge(os.path.join(temporary, data, kind), temporary)
                shutil.rmtree(os.path.join(temporary, data))
            os.chmod(temporary, 0o755)
            os.rename(temporary, final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    try:
        with open(current) as file:
            previous = file.read().strip()
    except OSError:
        previous = ""
    with open(current + ".new", "w") as file:
        file.write(name + "\\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(current + ".new", current)
    if previous != name:
        for other in set(os.listdir(root)) - {name, previous, "current"}:
            shutil.rmtree(os.path.join(root, other), ignore_errors=True)

try:
    unpack()
except (OSError, zipfile.BadZipFile) as error:
    sys.exit(str(error))
"""


def setup_device(
    device: Device,
    engines: Sequence[str] | None = None,
    wheel_folder: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
    deadline: Deadline | None = None,
    more: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Install what runners of ``engines`` need (default: all that the target lists packages for).

    ``more`` are further modules, each with the exact requirement that brings it; the next setup
    without them leaves them out again. Returns module → version, as imported there. Nothing is
    installed on a local device. Raises RuntimeMissingError where the device cannot have it, naming
    what and why.
    """
    until = deadline or Deadline.after(_TIME_S)
    target = load_target(device.target)
    chosen = _engines(target, engines, device)
    progress(f"connecting to {device.name}")
    transport = connect(device, until)
    try:
        if device.transport != "local":
            packages = sorted({*_packages(target, chosen), *(more or {}).values()})
            if packages:
                _install(device, transport, packages, wheel_folder, progress, until)
        progress("importing the runtimes there")
        return _verified(device, transport, target, chosen, list(more or {}), until)
    finally:
        transport.close()


def _engines(target: Target, engines: Sequence[str] | None, device: Device) -> list[str]:
    if engines is None:
        with_packages = [name for name, each in target.runtimes.items() if each.packages]
        # The packages of a local device are those of edgepose's own environment.
        return list(target.runtimes) if device.transport == "local" else with_packages
    unknown = [name for name in engines if name not in target.runtimes]
    if unknown:
        raise UsageError(
            f"target {target.name!r} has no runtime {', '.join(unknown)}; "
            f"it has {', '.join(sorted(target.runtimes)) or 'none'}",
            hint="Choose one of these, or add it in a target file of your own in ./targets.",
        )
    return list(engines)


def _packages(target: Target, engines: Sequence[str]) -> list[str]:
    found = (package for engine in engines for package in target.runtimes[engine].packages)
    return sorted(set(found))


def _install(
    device: Device,
    transport: Transport,
    packages: Sequence[str],
    wheel_folder: Path | None,
    progress: Callable[[str], None],
    deadline: Deadline,
) -> None:
    workdir = workdir_of(device, transport, deadline)
    facts = read_facts(transport, deadline, python=[device.python], workdir=workdir)
    python = _usable(facts.python, device)
    progress(f"fetching wheels for Python {python.version}: {', '.join(packages)}")
    wheels = {
        sha256_file(path): path for path in fetch_wheels(packages, python, deadline, wheel_folder)
    }
    free = None if facts.free_disk_mib is None else facts.free_disk_mib * 1024
    check_room(sum(_unpacked_size(path) for path in wheels.values()), free, workdir)
    progress("sending what the device does not have yet")
    remote = ensure_cached(transport, workdir, wheels, deadline)
    progress("unpacking there")
    name = sha256_bytes("\n".join([python.version, *sorted(wheels)]).encode())[:16]
    arguments = [site_folder(workdir), name, *(remote[key] for key in sorted(remote))]
    completed = transport.run([device.python, "-c", _UNPACK, *arguments], deadline)
    succeeded(completed, f"cannot unpack the wheels in {site_folder(workdir)}")


def _usable(python: PythonFacts | None, device: Device) -> PythonFacts:
    if python is None:
        raise no_python(device.python)
    if python.implementation != "cpython" or not python.version.startswith("3."):
        raise RuntimeMissingError(
            f"{device.python} of device {device.name!r} is {python.implementation} "
            f"{python.version}; CPython 3 is needed",
            hint="Name another interpreter as `python` in its entry of devices.toml.",
        )
    return python


def _unpacked_size(wheel: Path) -> int:
    with zipfile.ZipFile(wheel) as archive:
        return sum(member.file_size for member in archive.infolist())


def _verified(
    device: Device,
    transport: Transport,
    target: Target,
    engines: Sequence[str],
    more: Sequence[str],
    deadline: Deadline,
) -> dict[str, str]:
    python = python_command(device, transport, deadline)
    versions: dict[str, str] = {}
    wanted = {engine: modules_of(target, engine) for engine in engines}
    for engine, modules in (wanted | ({"pipeline": list(more)} if more else {})).items():
        outcome = try_imports(transport, python, modules, deadline)
        for module, result in outcome.items():
            if result.error:
                raise RuntimeMissingError(
                    f"device {device.name!r} cannot import {module} for {engine}: {result.error}",
                    hint=_advice(device, engine, result.error),
                )
            versions[module] = result.version
    return versions


def _advice(device: Device, engine: str, error: str) -> str:
    if "libgomp" in error:
        return "Install OpenMP there: `sudo apt install libgomp1`."
    if device.transport == "local":
        return f"pip install edgepose[{engine}]"
    return "Choose versions that run there in a target file of your own (./targets)."
