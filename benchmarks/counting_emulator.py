"""qemu-user with a plugin that counts executed arm64 instructions (``counting_plugin/``)."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from edgepose.errors import RunError, ToolchainError
from edgepose.files import folder_atomic, sha256_file
from edgepose.fingerprint import fingerprint
from edgepose.places import user_cache
from edgepose.runners.toolchain import run_tool

_SOURCE = Path(__file__).parent / "counting_plugin" / "plugin.cpp"
_FLAGS = ("-std=c++17", "-O2", "-shared", "-fPIC", "-fvisibility=hidden")
_HINT = "See benchmarks/README.md: QEMU 9.1 or later, built with --enable-plugins."
_RUN_S = 3600.0


@dataclass(frozen=True)
class Counts:
    """Executed instructions. ``vector``: Advanced SIMD arithmetic; ``memory``: loads and stores."""

    all: int
    vector: int
    memory: int

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts(self.all - other.all, self.vector - other.vector, self.memory - other.memory)


class CountingEmulator:
    """Runs arm64 programs whose libraries lie below ``root``, as on ``cpu`` (qemu's name).

    ``emulator`` is a path, None: ``qemu-aarch64`` of the search path. Raises ToolchainError
    where there is none that takes plugins, and without a C++ compiler.
    """

    def __init__(self, emulator: str | None, cpu: str, root: Path) -> None:
        found = shutil.which(emulator or "qemu-aarch64")
        if found is None:
            raise ToolchainError(f"{emulator or 'qemu-aarch64'} is not here", hint=_HINT)
        self.version = run_tool([found, "--version"], "asking qemu for its version", 60)
        self.version = self.version.splitlines()[0]
        if "-plugin" not in run_tool([found, "-help"], "asking qemu for its options", 60):
            raise ToolchainError(f"{found} takes no plugins", hint=_HINT)
        self._command = [found, "-cpu", cpu, "-L", str(root)]
        self._plugin = _built_plugin()

    def count(self, argv: Sequence[str], environment: Mapping[str, str]) -> Counts:
        """What a program executes from its start to its end. Raises RunError where it fails."""
        with TemporaryDirectory() as scratch:
            out = Path(scratch) / "counts"
            done = subprocess.run(
                [*self._command, "-plugin", f"{self._plugin},out={out}", *argv],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_RUN_S,
                check=False,
                env={**os.environ, **environment},
            )
            if done.returncode:
                said = (done.stderr or done.stdout).strip()[-500:]
                raise RunError(f"{argv[0]} failed under qemu ({done.returncode}): {said}")
            return Counts(*map(int, out.read_text().split()))


def _built_plugin() -> Path:
    """The plugin for this host's qemu, from the cache unless its source changed."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise ToolchainError("this host has no C++ compiler", hint="`apt install g++`")
    key = fingerprint({"source": sha256_file(_SOURCE), "flags": _FLAGS, "compiler": compiler})
    place = user_cache() / "counting-plugin" / key
    if not place.is_dir():
        with folder_atomic(place) as folder:
            words = [compiler, *_FLAGS, "-o", str(folder / "plugin.so"), str(_SOURCE)]
            run_tool(words, "compiling the counting plugin", 120)
    return place / "plugin.so"
