"""One run on a device: started detached, found again after the link dropped, brought home whole."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgepose.deadline import Deadline
from edgepose.devices.transport import Transport
from edgepose.errors import DeviceError, RunError
from edgepose.files import sha256_file
from edgepose.runners.result import Line, RunResult, is_complete, read_result

_CALL_S = 60.0  # one call over the transport
_TRANSFER_S = 600.0  # one file of tens of MiB over a slow link


class Encoded(Protocol):
    """A plan: what the program on the device is to do."""

    def encode(self) -> bytes: ...


@dataclass(frozen=True)
class RemoteRun:
    """The run ``run_id`` in ``folder`` on the device behind ``transport``."""

    transport: Transport
    folder: str
    run_id: str

    def start(
        self, plan: Encoded, command: list[str], files: Mapping[str, Path] | None = None
    ) -> None:
        """Send the plan and start ``command`` (a runner, its folder is appended) detached.

        ``files`` (name → local path) are put into the run's folder before.
        """
        self._call(["mkdir", "-p", self.folder], _call_deadline())
        for name, path in (files or {}).items():
            self.transport.put(path, f"{self.folder}/{name}", Deadline.after(_TRANSFER_S))
        deadline = _call_deadline()  # made only now: the files took their own time
        with TemporaryDirectory() as scratch:
            file = Path(scratch) / "plan.json"
            file.write_bytes(plan.encode())
            self.transport.put(file, f"{self.folder}/plan.json", deadline)
        self.transport.start([*command, self.folder], f"{self.folder}/log", deadline)

    def was_started(self) -> bool:
        """Whether this or an earlier command started it: the log is the first thing then."""
        done = self.transport.run(["test", "-e", f"{self.folder}/log"], _call_deadline())
        return done.returncode == 0

    def wait(self, expected_s: float, deadline: Deadline) -> RunResult:
        """Sleep about ``expected_s``, then look now and then until the result is complete.

        The board is left alone meanwhile: every look costs it a process. Raises RunError where
        the runner died, or is not done by the deadline (it is stopped then).
        """
        started, pause_s = time.monotonic(), max(0.1, 0.9 * expected_s)
        while not self._is_complete():
            # Looked at in this order, a runner that ends in between is not taken for dead.
            if not self._pids() and not self._is_complete():
                raise self._death()
            if deadline.expired:
                self.stop()
                waited_s = time.monotonic() - started
                raise RunError(
                    f"run {self.run_id} was stopped: not done after {waited_s:.0f} s",
                    hint="Look for other load on the device; `bench` takes a larger --budget, and "
                    "`profile` fewer --passes.",
                )
            time.sleep(min(pause_s, max(0.1, deadline.remaining_s)))
            pause_s = min(2.0, max(0.1, 0.05 * expected_s))
        return read_result(self._fetch("result.jsonl"), self.run_id)

    def outputs(self, result: RunResult) -> dict[str, dict[str, NDArray[np.float32]]]:
        """The proof's output arrays, by case and tensor, brought home."""
        outputs: dict[str, dict[str, NDArray[np.float32]]] = {}
        with TemporaryDirectory() as scratch:
            for line in result.all("proof"):
                array = self._array(line, Path(scratch))
                outputs.setdefault(line["case"], {})[line["output"]] = array
        return outputs

    def inferred(self, result: RunResult) -> dict[str, NDArray[np.float32]]:
        """The outputs of a batch, [N, *shape] by tensor, brought home."""
        with TemporaryDirectory() as scratch:
            lines = result.all("inferred")
            return {line["output"]: self._array(line, Path(scratch)) for line in lines}

    def remove(self) -> None:
        """End the runner, where it still runs, and remove the folder."""
        self.stop()
        self._call(["rm", "-rf", self.folder], _call_deadline())

    def stop(self) -> None:
        """End the runner, where it still runs."""
        for pid in self._pids():
            self.transport.run(["kill", "-9", pid], _call_deadline())

    def _array(self, line: Line, scratch: Path) -> NDArray[np.float32]:
        """The tensor that ``line`` of the result names. Raises RunError for another one."""
        name = line["file"]
        if Path(name).name != name:
            raise RunError(f"run {self.run_id} names a file outside its folder")
        file = scratch / name
        self.transport.get(f"{self.folder}/{name}", file, Deadline.after(_TRANSFER_S))
        if sha256_file(file) != line["sha256"]:
            raise RunError(
                f"{name} of run {self.run_id} arrived with another hash than it was written with",
                hint="Run the same command again; if it stays, the device's storage is failing.",
            )
        array: NDArray[np.float32] = np.load(file)
        return array

    def _is_complete(self) -> bool:
        tail = self.transport.run(
            ["tail", "-n", "1", f"{self.folder}/result.jsonl"], _call_deadline()
        )
        try:
            last = json.loads(tail.stdout)
        except ValueError:
            return False
        return isinstance(last, dict) and last.get("kind") == "footer"

    def _pids(self) -> list[str]:
        """Processes whose command line names this run's folder: immune to reused numbers."""
        done = self.transport.run(["pgrep", "-f", "--", f"{self.folder}$"], _call_deadline())
        if done.returncode > 1:
            raise DeviceError(
                f"`pgrep` failed on the device: {done.stderr.decode(errors='replace').strip()}",
                hint="Install it there: `apt install procps`.",
            )
        return done.text.split()

    def _death(self) -> RunError:
        log = self.transport.run(["tail", "-c", "400", f"{self.folder}/log"], _call_deadline())
        said = log.text.strip() or "its log is empty"
        return RunError(
            f"the runner of {self.run_id} was killed before it was done: {said}",
            hint="Out of memory, or somebody stopped it: see `dmesg` on the device. "
            "The same command starts anew.",
        )

    def _fetch(self, name: str) -> bytes:
        with TemporaryDirectory() as scratch:
            file = Path(scratch) / "fetched"
            self.transport.get(f"{self.folder}/{name}", file, _call_deadline())
            data = file.read_bytes()
        if not is_complete(data):
            raise RunError(f"{name} of run {self.run_id} changed while it was fetched")
        return data

    def _call(self, argv: list[str], deadline: Deadline) -> None:
        done = self.transport.run(argv, deadline)
        if done.returncode:
            raise DeviceError(
                f"`{' '.join(argv)}` failed on the device with exit code {done.returncode}: "
                f"{done.stderr.decode(errors='replace').strip()}"
            )


def _call_deadline() -> Deadline:
    return Deadline.after(_CALL_S)
