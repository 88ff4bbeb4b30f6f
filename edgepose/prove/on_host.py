"""Run the proof on this host, in a process of its own: a crashing runtime takes nobody along."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgepose.errors import BuildError, RunError
from edgepose.runners.pack import python_runner
from edgepose.runners.plan import Plan
from edgepose.runners.result import read_result

_TIMEOUT_S = 1800


def outputs_on_host(plan: Plan) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Execute ``plan`` (mode ``prove``, paths of this host); outputs by case and tensor.

    Raises BuildError where the runtime crashes, and the runner's own error otherwise.
    """
    with tempfile.TemporaryDirectory(prefix="edgepose-") as scratch:
        folder = Path(scratch)
        (folder / "runner.pyz").write_bytes(python_runner())
        (folder / "plan.json").write_bytes(plan.encode())
        try:
            done = subprocess.run(
                [sys.executable, str(folder / "runner.pyz"), str(folder)],
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            raise RunError(f"the proof took more than {_TIMEOUT_S} s on this host") from None
        if done.returncode < 0:
            raise BuildError(
                f"the runtime {plan.engine} crashed with signal {-done.returncode} on the golden "
                f"inputs: {done.stderr.strip()[-200:] or 'no message'}",
                hint="Try another recipe; please report the model to the runtime's authors.",
            )
        result = read_result((folder / "result.jsonl").read_bytes(), plan.run_id)
        outputs: dict[str, dict[str, NDArray[np.float32]]] = {}
        for line in result.all("proof"):
            outputs.setdefault(line["case"], {})[line["output"]] = np.load(folder / line["file"])
        return outputs
