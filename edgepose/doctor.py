"""Examine this host: which engines, compilers and helpers are here, and how to get the others.

Nothing heavy is imported and nothing is built: the answer takes less than a second.
"""

import platform
import shutil
from contextlib import suppress

from edgepose.devices.check import Check
from edgepose.devices.host_checks import (
    check_build_tools,
    check_compiler,
    check_program,
    check_runner,
    check_tools,
)
from edgepose.engines import ENGINES, find_engine
from edgepose.engines.packages import check_packages
from edgepose.errors import ToolchainError
from edgepose.prove.emulation import find_emulator, find_sysroot
from edgepose.recipes import load_recipe
from edgepose.targets import load_target

_ARCHS = ("aarch64", "x86_64")


def examine_host() -> list[Check]:
    """All checks. CRITICAL is what the default job lacks: a zoo model, on this host, as it is."""
    default = load_recipe(load_target("host").recipes.default).engine
    export = check_packages("torch", "onnx", "onnxslim", extra="torch")
    return [
        Check("host", "INFO", f"{platform.machine()}, Python {platform.python_version()}"),
        check_tools("export of zoo models", export, needed=True),
        *(
            check_tools(f"engine {name}", find_engine(name).check(), needed=name == default)
            for name in ENGINES
        ),
        *(check_compiler(arch) for arch in _ARCHS),
        check_build_tools(),
        *(
            check_runner(engine, arch, f"runner {engine} {arch}")
            for engine in ENGINES
            if find_engine(engine).native
            for arch in _ARCHS
        ),
        check_program("adb", shutil.which("adb"), "phones cannot be reached", "apt install adb"),
        check_program(
            "emulator",
            find_emulator(),
            "what arm64 computes in half precision is seen on the device alone, and TVM's bundles "
            "for it cannot be proven here",
            "apt install qemu-user-static",
        ),
        check_program(
            "arm64 libraries",
            _arm64_libraries(),
            "TVM's bundles for arm64 cannot be proven here",
            "apt install g++-aarch64-linux-gnu",
        ),
    ]


def _arm64_libraries() -> str | None:
    """The folder of those that an emulated program needs."""
    with suppress(ToolchainError):
        return str(find_sysroot())
    return None
