"""Targets: kinds of hardware with their system and runtime versions, as data.

One TOML file per target in ``targets/``; a user's own in ``./targets`` or the user configuration.
"""

import os
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edgepose.config import find_overlaid, load_toml, pick
from edgepose.errors import UsageError

Positive = Annotated[int, msgspec.Meta(gt=0)]


class _Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the tables of a target file."""


class Cpu(_Data, frozen=True, kw_only=True):
    """``fast_cores`` are the indices of the big cluster, which a benchmark uses.

    ``threads`` is how many it uses unless told; None is all fast cores. ``llvm`` is the compiler's
    name of the CPU, ``vector_bits`` the width of its vector registers.
    """

    name: str
    cores: Positive
    fast_cores: tuple[int, ...]
    threads: Positive | None = None
    isa: tuple[str, ...] = ()
    max_clock_mhz: int | None = None
    llvm: str | None = None
    vector_bits: Literal[128, 256, 512] | None = None


class Gpu(_Data, frozen=True, kw_only=True):
    name: str
    api: Literal["cuda", "vulkan", "opencl"]
    compute_capability: str | None = None
    memory_mib: int | None = None


class System(_Data, frozen=True, kw_only=True):
    """The system that the runtime versions below were chosen for."""

    os: str
    libc: str = ""
    python: str | None = None


class Runtime(_Data, frozen=True, kw_only=True):
    """An engine's runtime on the device, and what limits us there.

    ``packages`` are exact requirements that ``device setup`` pushes as wheels.
    """

    version: str
    packages: tuple[str, ...] = ()
    max_opset: Positive | None = None


class Power(_Data, frozen=True, kw_only=True):
    """A label for tables, not a measurement."""

    label: str


class Recipes(_Data, frozen=True, kw_only=True):
    default: str
    allowed: tuple[str, ...]


class Target(_Data, frozen=True, kw_only=True):
    """``soc`` is what such a phone calls its chip: model (``SM8250``) and platform (``kona``)."""

    title: str
    kind: Literal["host", "desktop", "board", "phone"]
    arch: Literal["x86_64", "aarch64"]
    cpu: Cpu
    memory_mib: Positive
    system: System
    recipes: Recipes
    power: Power
    gpu: Gpu | None = None
    soc: tuple[str, ...] = ()
    runtimes: dict[str, Runtime] = msgspec.field(default_factory=dict)
    sources: dict[str, str] = msgspec.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    name: str = ""

    def max_opset(self, engine: str) -> int | None:
        """Highest ONNX opset that ``engine`` on this target reads; None where unlimited."""
        runtime = self.runtimes.get(engine)
        return runtime.max_opset if runtime else None


def list_targets() -> list[str]:
    """Names of all targets: shipped, the user's and the project's."""
    return sorted(find_overlaid("targets"))


def load_target(name: str) -> Target:
    """Read the target ``name``; ``host`` is completed from what this machine reports.

    Raises UsageError for an unknown name and ConfigError for a malformed file.
    """
    path = pick(name, find_overlaid("targets"), "target", "edgepose targets")
    target = msgspec.structs.replace(load_toml(path, Target), name=name)
    return _detect_host(target) if target.kind == "host" else target


def cuda_arch(target: Target) -> str:
    """nvcc's name of the target's GPU, such as ``sm_53``. Raises UsageError without CUDA."""
    gpu = target.gpu
    if gpu is None or gpu.api != "cuda" or gpu.compute_capability is None:
        raise UsageError(
            f"target {target.name!r} names no GPU for CUDA",
            hint="Use a recipe for the CPU, or give its [gpu] table a compute_capability.",
        )
    return f"sm_{gpu.compute_capability.replace('.', '')}"


def targets_of_soc(names: Iterable[str]) -> list[str]:
    """Targets that list one of these names of a chip, in any case."""
    wanted = {name.lower() for name in names}
    return [
        name for name in list_targets() if wanted & {each.lower() for each in load_target(name).soc}
    ]


def _detect_host(target: Target) -> Target:
    """Replace the placeholders of ``host`` by this machine's own figures."""
    info = _cpuinfo(Path("/proc/cpuinfo"))
    usable = sorted(os.sched_getaffinity(0))
    flags = info.get("flags", info.get("Features", "")).split()
    notable = ("avx2", "avx512f", "avx512_vnni", "fma", "asimd", "asimdhp", "asimddp", "i8mm")
    arch: Literal["x86_64", "aarch64"] = (
        "aarch64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
    )
    llvm, vector_bits = _compiler_name(arch, set(flags))
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return msgspec.structs.replace(
        target,
        arch=arch,
        cpu=Cpu(
            name=info.get("model name", platform.processor() or "unknown"),
            cores=len(usable),
            fast_cores=tuple(usable),
            threads=target.cpu.threads,
            isa=tuple(flag for flag in notable if flag in flags),
            llvm=llvm,
            vector_bits=vector_bits,
        ),
        memory_mib=pages // 2**20,
        system=System(
            os=f"{platform.system()} {platform.release()}",
            libc=" ".join(platform.libc_ver()),
            python=platform.python_version(),
        ),
    )


def _compiler_name(arch: str, flags: set[str]) -> tuple[str, Literal[128, 256, 512]]:
    """LLVM's name of this machine's CPU and its vectors' width.

    x86-64 has levels, which say all that single precision needs to know.
    """
    if arch == "aarch64":
        return "generic", 128
    if {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"} <= flags:
        return "x86-64-v4", 512
    if {"avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"} <= flags:
        return "x86-64-v3", 256
    return "x86-64-v2" if "sse4_2" in flags else "x86-64", 128


def _cpuinfo(path: Path) -> Mapping[str, str]:
    """First processor's fields of /proc/cpuinfo; empty where the file is absent."""
    try:
        first = path.read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
