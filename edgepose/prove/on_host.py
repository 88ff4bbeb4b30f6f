"""Run the proof on this host, in a process of its own: a crashing runtime takes nobody along."""

import logging
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgepose.errors import BuildError, RunError, ToolchainError
from edgepose.prove.emulation import emulate_dynamic, find_emulator
from edgepose.recipes import Recipe, fallback
from edgepose.runners.pack import PYTHON_RUNNER, python_runner
from edgepose.runners.plan import Plan
from edgepose.runners.result import RunResult, read_result
from edgepose.targets import Target

_TIMEOUT_S = 3600
_EMULATED_CPU = "cortex-a76"  # the oldest with half-precision arithmetic that the emulator knows
_COMPILED = "tvm"  # the engine whose artifacts are machine code: nothing here stands in for it
_GPU_ON_CPU = "edgepose.engines.tvm.cuda_on_host"
_log = logging.getLogger(__name__)


class WayToProve(NamedTuple):
    """A command that a run's folder is appended to (empty: the Python runner), and its name.

    ``emulated``: its latencies say nothing.
    """

    command: tuple[str, ...]
    where: str
    emulated: bool = False


def way_to_prove(runner: Path, target: Target, recipe: Recipe) -> WayToProve:
    """How a bundle's outputs are best computed on this host.

    Raises ToolchainError for machine code of another CPU where the emulator is missing.
    """
    if recipe.on_gpu:
        stand_in = (sys.executable, "-m", _GPU_ON_CPU)
        return WayToProve(stand_in, "GPU kernels compiled for this host's CPU", emulated=True)
    if runner.name != PYTHON_RUNNER and target.arch == platform.machine():
        return WayToProve((str(runner),), "this host")
    if recipe.engine == _COMPILED:
        if target.arch != "aarch64":
            raise ToolchainError(
                f"this host of {platform.machine()} cannot run what is compiled for {target.arch}",
                hint=f"Build and verify it on a host of {target.arch}.",
            )
        command, cpu = emulate_dynamic(target.cpu.llvm)
        return WayToProve((*command, str(runner)), f"{cpu} emulated on this host", emulated=True)
    has_halves = (
        runner.name != PYTHON_RUNNER
        and bool(recipe.options.get("fp16_storage"))
        and "asimdhp" in target.cpu.isa
    )
    if has_halves:
        emulator = find_emulator()
        if emulator:
            command = (emulator, "-cpu", _EMULATED_CPU, str(runner))
            return WayToProve(command, f"{_EMULATED_CPU} emulated on this host", emulated=True)
        _log.warning(
            "without qemu-aarch64 this host cannot show the error of half precision; "
            "the proof on the device will"
        )
    return WayToProve((), "this host")


def outputs_on_host(
    plan: Plan, command: tuple[str, ...] = (), precision: str | None = None
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Execute ``plan`` (mode ``prove``, paths of this host); outputs by case and tensor.

    Warns where the runtime falls back from ``precision``. Raises BuildError where it crashes, and
    the runner's own error otherwise.
    """
    with _executed(plan, command) as (result, folder):
        other = precision and fallback(precision, result.one("header").get("computed_in"))
        if other:
            _log.warning("%s, so its error does not show here; the proof on the device will", other)
        outputs: dict[str, dict[str, NDArray[np.float32]]] = {}
        for line in result.all("proof"):
            outputs.setdefault(line["case"], {})[line["output"]] = np.load(folder / line["file"])
        return outputs


def lines_on_host(plan: Plan, command: tuple[str, ...]) -> RunResult:
    """Execute ``plan`` of any mode on this host. Raises as ``outputs_on_host``."""
    with _executed(plan, command) as (result, _):
        return result


@contextmanager
def _executed(plan: Plan, command: tuple[str, ...]) -> Iterator[tuple[RunResult, Path]]:
    """The result of ``plan`` and the folder with its files, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="edgepose-") as scratch:
        folder = Path(scratch)
        if not command:
            (folder / PYTHON_RUNNER).write_bytes(python_runner().content)
            command = (sys.executable, str(folder / PYTHON_RUNNER))
        (folder / "plan.json").write_bytes(plan.encode())
        try:
            done = subprocess.run(
                [*command, str(folder)],
                capture_output=True,
                text=True,
                errors="replace",  # a crashing runtime says anything
                timeout=_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            raise RunError(f"the {plan.mode} run took more than {_TIMEOUT_S} s here") from None
        except OSError as error:
            raise BuildError(
                f"{command[0]} does not start here: {error.strerror}",
                hint="Is the folder of the bundle on a disk that lets programs start?",
            ) from None
        if done.returncode < 0:
            raise BuildError(
                f"the runtime {plan.engine} crashed with signal {-done.returncode} on the golden "
                f"inputs: {done.stderr.strip()[-200:] or 'no message'}",
                hint="Try another recipe; please report the model to the runtime's authors.",
            )
        result = folder / "result.jsonl"
        if not result.is_file():  # it never came to its own code: a library is missing, say
            raise BuildError(
                f"the runner of {plan.engine} ended with exit code {done.returncode} before it "
                f"began: {done.stderr.strip()[-200:] or 'no message'}",
                hint="`edgepose doctor` says what this host lacks.",
            )
        yield read_result(result.read_bytes(), plan.run_id), folder
