"""What the doctors find on this host: the tools that make artifacts and runners for a device."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from edgepose.devices.check import Check
from edgepose.engines.base import ToolStatus
from edgepose.errors import ToolchainError
from edgepose.runners.native_ncnn import built_ncnn_runner
from edgepose.runners.toolchain import (
    Toolchain,
    find_dynamic_toolchain,
    find_toolchain,
    require_cmake,
)


class _Native(NamedTuple):
    """Who compiles an engine's runner; ``built`` tells where it is, for those that take minutes."""

    toolchain: Callable[[str], Toolchain]
    built: Callable[[Toolchain], Path | None] | None = None


_NATIVE: Mapping[str, _Native] = {
    "ncnn": _Native(find_toolchain, built_ncnn_runner),
    "tvm": _Native(find_dynamic_toolchain),
}


def check_tools(name: str, status: ToolStatus, *, needed: bool = False) -> Check:
    """An engine's ``status``; ``needed`` where nothing works without it."""
    if not status.available:
        text = f"missing: {', '.join(status.missing)}"
        return Check(name, "CRITICAL" if needed else "WARNING", text, status.fix)
    versions = (f"{package} {version}" for package, version in status.versions.items())
    return Check(name, "PASS", ", ".join(versions))


def check_compiler(arch: str) -> Check:
    """Whether executables for ``arch`` can be made here, and by what."""
    try:
        toolchain = find_toolchain(arch)
    except ToolchainError as error:
        return Check(f"compiler {arch}", "WARNING", f"missing: {error}", error.hint)
    return Check(f"compiler {arch}", "PASS", f"{toolchain.name}: {toolchain.version}")


def check_build_tools() -> Check:
    """What building ncnn takes beside a compiler."""
    try:
        require_cmake()
    except ToolchainError as error:
        return Check("build tools", "WARNING", f"missing: {error}", error.hint)
    return Check("build tools", "PASS", "cmake and ninja")


def check_runner(engine: str, arch: str, name: str) -> Check:
    """The executable for ``arch``: the device needs nothing else, this host a compiler, once."""
    native = _NATIVE[engine]
    try:
        toolchain = native.toolchain(arch)
    except ToolchainError as error:
        return Check(name, "WARNING", f"cannot be built: {error}", error.hint)
    if native.built is None:
        when = "compiled in seconds"
    elif native.built(toolchain) is None:
        when = "not built yet: some minutes, once,"
    else:
        when = "built here"
    return Check(name, "PASS", f"one executable, {when} by {toolchain.version}")


def check_program(name: str, found: str | None, without: str, fix: str) -> Check:
    """A program's place, if it was found; ``without`` says what is not possible then."""
    if found is None:
        return Check(name, "WARNING", f"missing: {without}", fix)
    return Check(name, "PASS", found)
