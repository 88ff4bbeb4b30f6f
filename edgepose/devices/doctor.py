"""Examine a device: it reports and says what to do, and makes no more than the work folder."""

import time

from edgepose.deadline import Deadline
from edgepose.devices import checks
from edgepose.devices.check import Check
from edgepose.devices.connect import connect, workdir_of
from edgepose.devices.device import Device
from edgepose.devices.facts import DeviceFacts, read_facts
from edgepose.devices.host_checks import check_runner
from edgepose.devices.phone_checks import check_phone
from edgepose.devices.python import (
    Import,
    modules_of,
    python_command,
    split_requirement,
    try_imports,
)
from edgepose.devices.shell import script
from edgepose.devices.transport import Transport
from edgepose.engines import find_engine
from edgepose.errors import (
    AuthenticationError,
    ConfigError,
    DeviceError,
    HostKeyError,
    UsageError,
)
from edgepose.recipes import load_recipe
from edgepose.targets import Target, load_target

_TIME_S = 120.0

_WRITABLE = """
mkdir -p "$1" && file=$1/.edgepose-doctor-$$ && : >"$file" && rm -f "$file"
"""


def examine(device: Device, deadline: Deadline | None = None) -> list[Check]:
    """All checks that can be made; a check that stops the rest is the last one."""
    until = deadline or Deadline.after(_TIME_S)
    try:
        target = load_target(device.target)
    except (UsageError, ConfigError) as error:
        return [Check("target", "CRITICAL", str(error), error.hint)]
    found = [Check("target", "PASS", target.title)]
    try:
        transport = connect(device, until)
    except DeviceError as error:
        return [*found, _refused(error)]
    try:
        found += _link(device)
        found += _inside(device, transport, target, until)
    except DeviceError as error:
        found.append(Check("examination", "CRITICAL", str(error), error.hint))
    finally:
        transport.close()
    return found


def _refused(error: DeviceError) -> Check:
    names = {HostKeyError: "host key", AuthenticationError: "login"}
    return Check(names.get(type(error), "reachable"), "CRITICAL", str(error), error.hint)


def _link(device: Device) -> list[Check]:
    if device.transport == "local":
        return [Check("reachable", "PASS", "this machine")]
    if device.transport == "adb":
        found = [Check("reachable", "PASS", f"{device.serial} by adb, in state device")]
    else:
        found = [Check("reachable", "PASS", f"{device.host} by SSH"), _host_key(device)]
    if device.emulated:
        found.append(Check("emulation", "INFO", "its timings say nothing about a board"))
    return found


def _host_key(device: Device) -> Check:
    if device.host_keys:
        return Check("host key", "PASS", "pinned")
    fix = f"edgepose device trust {device.name}"
    return Check("host key", "INFO", "known to ~/.ssh, not pinned", fix)


def _inside(
    device: Device, transport: Transport, target: Target, deadline: Deadline
) -> list[Check]:
    workdir = workdir_of(device, transport, deadline)
    python = python_command(device, transport, deadline)
    asked_s = time.time()
    listed = (text for runtime in target.runtimes.values() for text in runtime.packages)
    packages = [split_requirement(text)[0] for text in listed]
    facts = read_facts(transport, deadline, python=python, workdir=workdir, packages=packages)
    host_s = (asked_s + time.time()) / 2
    writing = transport.run(script(_WRITABLE, workdir), deadline)
    reason = writing.stderr.decode(errors="replace").strip()
    found = [
        Check("board", "INFO", facts.model or facts.cpu or "it does not say what it is"),
        checks.check_arch(facts, target),
        *([checks.check_python(facts, target, python[-1])] if _python_engines(target) else []),
        checks.check_workdir(workdir, writing.returncode == 0, reason, facts),
        *_runtimes(device, transport, target, facts, python, deadline),
        checks.check_temperature(facts.sensors),
    ]
    phone = facts.sensors.phone
    if phone:
        # Governor and clock are not adb's to set, and phones count sleepers as load.
        return [*found, *check_phone(phone, facts, target)]
    return [
        *found,
        checks.check_governor(facts.sensors),
        checks.check_throttling(facts.sensors),
        checks.check_clock(facts, host_s),
        checks.check_load(facts),
    ]


def _runtimes(
    device: Device,
    transport: Transport,
    target: Target,
    facts: DeviceFacts,
    python: list[str],
    deadline: Deadline,
) -> list[Check]:
    found = [
        check_runner(name, target.arch, f"runner {name}")
        for name in _engines(target)
        if find_engine(name).native
    ]
    for engine in _python_engines(target):
        imports: dict[str, Import] = {}
        if facts.python is not None:
            imports = try_imports(transport, python, modules_of(target, engine), deadline)
        fix = f"edgepose device setup {device.name}"
        if device.transport == "local":
            fix = f"pip install edgepose[{engine}]"
        found.append(checks.check_runtime(engine, target, facts, imports, fix))
    return found


def _engines(target: Target) -> list[str]:
    return list(dict.fromkeys(load_recipe(name).engine for name in target.recipes.allowed))


def _python_engines(target: Target) -> list[str]:
    return [engine for engine in _engines(target) if not find_engine(engine).native]
