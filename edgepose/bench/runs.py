"""The runs of one measurement: proving a bundle on its device, timing it, tidying up."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from edgepose.bench.pending import Pending
from edgepose.bench.place import CALL_S, Place, Station, soon
from edgepose.bench.plan import Effort
from edgepose.bench.record import RunSamples
from edgepose.bench.remote_run import RemoteRun
from edgepose.bench.samples import read_samples
from edgepose.bundle import judge_bundle
from edgepose.devices.sensors import read_sensors
from edgepose.errors import DeviceError, ProofError, UnreachableError
from edgepose.prove.proof import Proof

PROOF_S = 1800.0
_SENSOR_PERIOD_S = 1.0
_ESTIMATE_RUNS = 3
# A process's start beside the measured load time: Python and its imports. Rather too long: a look
# before the end would disturb the timed loop on a small board.
_LOCAL_STARTUP_S, _REMOTE_STARTUP_S, _NATIVE_STARTUP_S = 0.5, 2.0, 0.3


@dataclass(frozen=True)
class Session:
    """A measurement under way: what this host remembers of it, and its runs on the device.

    ``run_names`` are all the runs that it may begin.
    """

    station: Station
    pending: Pending
    run_names: tuple[str, ...]

    def run(self, name: str) -> RemoteRun:
        return self.station.run(f"{self.pending.session_id}-{name}")

    @contextlib.contextmanager
    def forgotten_on_failure(self) -> Iterator[None]:
        """For the block that measures: no trace of a failure, unless only the link was lost."""
        try:
            yield
        except UnreachableError as error:
            error.hint = "The run goes on there: run the same command again to re-attach."
            raise
        except BaseException:
            self.forget()
            raise

    def forget(self) -> None:
        """Remove its traces here and there."""
        self.pending.forget()
        # A link that is lost only now must not cost the record, nor hide the error before it.
        with contextlib.suppress(DeviceError):
            folders = [self.run(name).folder for name in self.run_names]
            self.station.transport.run(["rm", "-rf", *folders], soon())


@dataclass(frozen=True)
class Proven:
    """What proving on the device told; ``estimates_ms`` are of a cold net, ``startup_s`` of a
    process until its first inference.
    """

    proof: Proof
    header: Any
    estimates_ms: tuple[float, ...]
    startup_s: float

    @property
    def computed_in(self) -> str | None:
        """The precision, as the runtime there says; None where it does not."""
        found: str | None = self.header.get("computed_in")
        return found

    @property
    def latency_ms(self) -> float:
        return median(self.estimates_ms)

    def shortest_s(self, effort: Effort) -> float:
        """How long a process takes at least: nobody looks before this time."""
        return self.least_s(effort.warmup_min + effort.runs)

    def least_s(self, inferences: int) -> float:
        return self.startup_s + inferences * min(self.estimates_ms) / 1e3


def prove_there(place: Place, run: RemoteRun) -> Proven:
    """Run the golden inputs on the device and judge what came home.

    Raises DeviceError or RunError; a proof that fails is no error.
    """
    what = f"proving {place.bundle.name}"
    result = place.finish(run, what, "prove", PROOF_S, 0.5, runs=_ESTIMATE_RUNS)
    header = result.one("header")
    return Proven(
        proof=judge_bundle(place.bundle, run.outputs(result), where=place.device.name),
        header=header,
        estimates_ms=tuple(max(1e-3, ns / 1e6) for ns in result.one("estimate")["ns"]),
        startup_s=_startup_s(place) + header["load_ms"] / 1e3,
    )


def proven_there(place: Place) -> Proven:
    """As ``prove_there``, in a run of its own that leaves no trace.

    Where the link is lost its folder stays, and is removed by the next one: the name is fixed.
    Raises ProofError where the proof fails: what the artifact gives there is not the model's then.
    """
    run = place.run(f"prove-{place.bundle.manifest.bundle_id}")
    run.remove()
    try:
        proven = prove_there(place, run)
    finally:
        with contextlib.suppress(DeviceError):  # it must not hide the error before it
            run.remove()
    if not proven.proof.passed:
        raise ProofError(
            f"{place.bundle.name} is not proven on {place.device.name}: "
            f"{'; '.join(proven.proof.failures)}",
            hint="Use a recipe of higher precision.",
        )
    return proven


def time_there(
    place: Place,
    run: RemoteRun,
    index: int,
    effort: Effort,
    expected_s: float,
    budget_s: float,
    what: str,
) -> RunSamples:
    """One fresh process, the ``index``-th of its measurement; its samples come home whole."""
    settings = {
        "warmup_min": effort.warmup_min,
        "warmup_max": effort.warmup_max,
        "runs": effort.runs,
        "sensor_period_s": _SENSOR_PERIOD_S,
    }
    limit_s = _limit_s(budget_s, expected_s)
    result = place.finish(run, what, "time", limit_s, expected_s, **settings)
    # Right after it, not in it: asking Android's services would take a core from the timed loop.
    # The clocks are read throughout, and they fall at once where a phone throttles.
    is_phone = place.facts.sensors.phone is not None
    phone = read_sensors(place.transport, soon()).phone if is_phone else None
    return read_samples(result, index, phone)


def lease_s(budget_s: float) -> float:
    """Long enough for any one process: it is renewed before each."""
    return max(PROOF_S, _limit_s(budget_s)) + CALL_S


def _limit_s(budget_s: float, expected_s: float = 0.0) -> float:
    """When a timed process counts as hung."""
    return 60 + 4 * max(budget_s, expected_s)


def _startup_s(place: Place) -> float:
    if place.is_native:
        return _NATIVE_STARTUP_S
    return _LOCAL_STARTUP_S if place.device.transport == "local" else _REMOTE_STARTUP_S
