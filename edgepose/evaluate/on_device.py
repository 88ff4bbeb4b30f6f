"""A bundle's artifact on a device as a Session: inputs go over in batches, outputs come back.

So an evaluation measures what runs there. Nothing here is timed.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose.bench.place import CALL_S, Place, on_device, soon
from edgepose.bench.remote_run import RemoteRun
from edgepose.bench.runs import PROOF_S, Proven, proven_there
from edgepose.bundle import Bundle, make_plan
from edgepose.deadline import Deadline
from edgepose.devices.inventory import find_device
from edgepose.engines.base import Tensors
from edgepose.errors import DeviceError, RunError, UnreachableError
from edgepose.files import sha256_file
from edgepose.graph.spec import TensorSpec
from edgepose.prove.proof import Proof

# A batch is one file per tensor. Larger ones save round trips and starts of the runner; but a board
# holds a batch in memory, and what a lost link costs is a batch.
_BATCH_MIB = 32
_BATCH_S = 60.0
_MOST_INPUTS = 64


class DeviceSession:
    """Runs the bundle of ``place``, proven there. ``at_once`` inputs cross together, or fewer."""

    def __init__(self, place: Place, run: RemoteRun, proven: Proven) -> None:
        self._place, self._run, self._proven = place, run, proven
        self._latency_ms = proven.latency_ms
        self.at_once = _batch_size(place.bundle, self._latency_ms)

    @property
    def proof(self) -> Proof:
        return self._proven.proof

    @property
    def device(self) -> str:
        return self._place.device.name

    @property
    def emulated(self) -> bool:
        return self._place.device.emulated

    @property
    def threads(self) -> int:
        return self._place.threads

    @property
    def versions(self) -> dict[str, str]:
        """Of the runtime there, and what it stands on."""
        return dict(self._proven.header["versions"])

    @property
    def computed_in(self) -> str | None:
        """The precision, as the runtime there says; None where it does not."""
        return self._proven.computed_in

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """One inference, and a whole trip for it: see ``run_many``."""
        return self.run_many([inputs])[0]

    def run_many(self, inputs: Sequence[Tensors]) -> list[dict[str, NDArray[np.float32]]]:
        """Outputs for each of ``inputs``, in their order, float32.

        Raises RunError where names or shapes are not the model's, where the runner died or a hash
        does not fit, DeviceError and LeaseError; nothing of an unfinished batch is returned.
        """
        for each in inputs:
            self._check(each)
        outputs: list[dict[str, NDArray[np.float32]]] = []
        for begin in range(0, len(inputs), self.at_once):
            outputs += self._run_batch(inputs[begin : begin + self.at_once])
        return outputs

    def _run_batch(self, inputs: Sequence[Tensors]) -> list[dict[str, NDArray[np.float32]]]:
        try:
            found = self._exchange(inputs)
        except UnreachableError as error:
            error.hint = "What was evaluated is kept: the same command goes on from there."
            raise
        manifest = self._place.bundle.manifest
        wanted = {spec.name: (len(inputs), *spec.shape) for spec in manifest.outputs}
        given = {name: array.shape for name, array in found.items()}
        if given != wanted:
            raise RunError(f"{self.device} gave outputs {given} where {wanted} were expected")
        return [{name: array[i] for name, array in found.items()} for i in range(len(inputs))]

    def _exchange(self, inputs: Sequence[Tensors]) -> dict[str, NDArray[np.float32]]:
        """Outputs [N, *shape] by name for N ``inputs``."""
        place, run = self._place, self._run
        place.lease.renew(soon())
        expected_s = self._proven.startup_s + len(inputs) * self._latency_ms / 1e3
        with TemporaryDirectory(prefix="edgepose-") as scratch:
            files = _save_batch(inputs, Path(scratch))
            there = {tensor: f"{run.folder}/{path.name}" for tensor, path in files.items()}
            plan = make_plan(
                place.bundle.manifest,
                "infer",
                run.run_id,
                place.paths,
                sent={there[tensor]: sha256_file(path) for tensor, path in files.items()},
                batch=there,
                threads=place.threads,
                cpus=place.cpus or None,
            )
            run.start(plan, place.command, {path.name: path for path in files.values()})
        # Nothing but a lost link or a hung runtime takes ten times as long as it should.
        result = run.wait(expected_s, Deadline.after(120 + 10 * expected_s))
        found = run.inferred(result)
        self._latency_ms = median(result.one("inferences")["ns"]) / 1e6
        run.remove()
        return found

    def _check(self, inputs: Tensors) -> None:
        wanted = {spec.name: spec.shape for spec in self._place.bundle.manifest.inputs}
        given = {name: array.shape for name, array in inputs.items()}
        if given != wanted:
            raise RunError(f"the model's inputs are {wanted}, not {given}")


@contextlib.contextmanager
def session_on_device(
    bundle: Bundle, device: str = "local", *, threads: int | None = None
) -> Iterator[DeviceSession]:
    """Hold ``device`` for the block, with ``bundle`` on it and proven there.

    Raises UsageError, DeviceError, LeaseError, RunError, and ProofError where its outputs are not
    the model's there: what it would give then says nothing about the model.
    """
    entry = find_device(device)
    purpose = f"eval {bundle.name}"
    with on_device(bundle, entry, threads, PROOF_S + CALL_S, purpose) as place:
        # One name for all batches of all sessions: a run that outlived its session is found again
        # by the next one, and ended.
        run = place.run(f"eval-{bundle.manifest.bundle_id}")
        run.remove()
        try:
            yield DeviceSession(place, run, proven_there(place))
        except UnreachableError:
            raise
        except BaseException:
            with contextlib.suppress(DeviceError):  # it must not hide the error before it
                run.remove()
            raise


def _batch_size(bundle: Bundle, latency_ms: float) -> int:
    """As many inputs as neither make a large file nor take long."""
    manifest = bundle.manifest
    largest = max(_size(manifest.inputs), _size(manifest.outputs))
    by_memory, by_time = (_BATCH_MIB << 20) // largest, int(_BATCH_S * 1e3 / latency_ms)
    return max(1, min(_MOST_INPUTS, by_memory, by_time))


def _size(tensors: Sequence[TensorSpec]) -> int:
    """Bytes of one of each."""
    return sum(4 * math.prod(tensor.shape) for tensor in tensors)


def _save_batch(inputs: Sequence[Mapping[str, NDArray[Any]]], folder: Path) -> dict[str, Path]:
    """One file per tensor with all inputs along a first axis; paths by tensor."""
    files = {}
    for number, name in enumerate(inputs[0]):
        files[name] = folder / f"batch-{number}.npy"
        stacked = np.stack([np.asarray(each[name], np.float32) for each in inputs])
        np.save(files[name], np.ascontiguousarray(stacked))
    return files
