"""Measure one bundle on one device: lease, preflight, deploy, proof there, runs, record."""

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any

import edgepose
from edgepose.bench.pending import Pending, find_or_begin
from edgepose.bench.place import CALL_S, Place, on_device, soon
from edgepose.bench.plan import DEFAULT_BUDGET_S, PROFILES, Effort, Profile, fit_to_budget
from edgepose.bench.preflight import recorded_facts
from edgepose.bench.record import Record, RunSamples
from edgepose.bench.remote_run import RemoteRun
from edgepose.bench.samples import read_samples
from edgepose.bench.statistics import Summary, summarise
from edgepose.bench.store import RecordStore
from edgepose.bench.validity import judge
from edgepose.bundle import Bundle, judge_bundle
from edgepose.config import pick
from edgepose.devices.facts import DeviceFacts
from edgepose.devices.inventory import find_device
from edgepose.devices.sensors import read_sensors
from edgepose.errors import DeviceError, UnreachableError
from edgepose.prove.proof import Proof
from edgepose.provenance import git_commit

_PROOF_S = 1800.0
_SENSOR_PERIOD_S = 1.0
_ESTIMATE_RUNS = 3
# A process's start beside the measured load time: Python and its imports. Rather too long: a look
# before the end would disturb the timed loop on a small board.
_LOCAL_STARTUP_S, _REMOTE_STARTUP_S, _NATIVE_STARTUP_S = 0.5, 2.0, 0.3
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Cell:
    """What stays the same throughout one measurement."""

    place: Place
    pending: Pending
    profile: Profile

    def run(self, name: str) -> RemoteRun:
        return self.place.run(f"{self.pending.session_id}-{name}")


def bench(
    bundle: Bundle,
    device: str = "local",
    profile: str = "trust",
    *,
    threads: int | None = None,
    budget_s: float = DEFAULT_BUDGET_S,
    store: RecordStore | None = None,
) -> Record:
    """Prove ``bundle`` on ``device``, time it there, and append the record to the store.

    ``budget_s`` bounds the timed part. After a lost connection the same call re-attaches to the
    run that went on without us. Raises UsageError, DeviceError, LeaseError, RunError; a
    measurement that does not count is no error but a record refused with its reasons.
    """
    extent = pick(profile, PROFILES, "profile", "edgepose bench --help")
    entry = find_device(device)
    purpose = f"bench {bundle.name}"
    with on_device(bundle, entry, threads, _lease_s(budget_s), purpose) as place:
        command = {
            "bundle": bundle.manifest.bundle_id,
            "device": entry,
            "profile": extent,
            "threads": place.threads,
            "budget_s": float(budget_s),
        }
        pending, resumed = find_or_begin(command, place.facts)
        if resumed:
            _log.info("%s: re-attaching to session %s", device, pending.session_id)
        cell = _Cell(place, pending, extent)
        record = _remembering(cell, budget_s)
        # Before anything is forgotten: a full disk here must not cost the samples.
        (store or RecordStore()).append(record)
        _forget(cell)
        return record


def _remembering(cell: _Cell, budget_s: float) -> Record:
    """Measure; what failed is forgotten here and there, unless only the link was lost."""
    try:
        return _measure(cell, budget_s)
    except UnreachableError as error:
        error.hint = "The run goes on there: run the same command again to re-attach."
        raise
    except BaseException:
        _forget(cell)
        raise


def _forget(cell: _Cell) -> None:
    cell.pending.forget()
    names = ["prove", *(f"p{index}" for index in range(cell.profile.processes))]
    # A link that is lost only now must not cost the record, nor hide the error before it.
    with contextlib.suppress(DeviceError):
        folders = [cell.run(name).folder for name in names]
        cell.place.transport.run(["rm", "-rf", *folders], soon())


def _measure(cell: _Cell, budget_s: float) -> Record:
    place, proving = cell.place, cell.run("prove")
    what = f"proving {place.bundle.name}"
    result = place.finish(proving, what, "prove", _PROOF_S, 0.5, runs=_ESTIMATE_RUNS)
    proof = judge_bundle(place.bundle, proving.outputs(result), where=place.device.name)
    header = result.one("header")
    estimates_ms = [max(1e-3, ns / 1e6) for ns in result.one("estimate")["ns"]]
    startup_s = _startup_s(place) + header["load_ms"] / 1e3
    effort = fit_to_budget(cell.profile, median(estimates_ms), startup_s, budget_s)
    runs: list[RunSamples] = []
    if proof.passed:
        # The quickest: the estimates are of a cold net, and nobody looks before this time.
        shortest_s = startup_s + (effort.warmup_min + effort.runs) * min(estimates_ms) / 1e3
        for index in range(effort.processes):
            runs.append(_timed(cell, index, effort, shortest_s, budget_s))
    return _record(cell, effort, place.read_facts(), header, proof, runs)


def _startup_s(place: Place) -> float:
    if place.is_native:
        return _NATIVE_STARTUP_S
    return _LOCAL_STARTUP_S if place.device.transport == "local" else _REMOTE_STARTUP_S


def _timed(
    cell: _Cell, index: int, effort: Effort, expected_s: float, budget_s: float
) -> RunSamples:
    """One fresh process; its samples come home whole."""
    settings = {
        "warmup_min": effort.warmup_min,
        "warmup_max": effort.warmup_max,
        "runs": effort.runs,
        "sensor_period_s": _SENSOR_PERIOD_S,
    }
    place, run = cell.place, cell.run(f"p{index}")
    what = f"process {index + 1} of {effort.processes}, about {expected_s:.0f} s"
    limit_s = _limit_s(budget_s, expected_s)
    result = place.finish(run, what, "time", limit_s, expected_s, **settings)
    # Right after it, not in it: asking Android's services would take a core from the timed loop.
    # The clocks are read throughout, and they fall at once where a phone throttles.
    is_phone = place.facts.sensors.phone is not None
    phone = read_sensors(place.transport, soon()).phone if is_phone else None
    return read_samples(result, index, phone)


def _record(
    cell: _Cell,
    effort: Effort,
    after: DeviceFacts,
    header: Mapping[str, Any],
    proof: Proof,
    runs: list[RunSamples],
) -> Record:
    place, manifest = cell.place, cell.place.bundle.manifest
    facts = recorded_facts(cell.pending.facts), recorded_facts(after)
    cpus = tuple(header["cpus"] or ())  # where the wanted cores exist
    summary: Summary | None = summarise([run.samples_ns for run in runs]) if runs else None
    verdict = judge(
        proof=proof,
        effort=effort,
        runs=runs,
        summary=summary,
        facts_before=facts[0],
        facts_after=facts[1],
        cpus=cpus,
    )
    return Record(
        record_id=cell.pending.session_id,
        session_id=cell.pending.session_id,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        edgepose_version=edgepose.__version__,
        git_commit=git_commit(),
        model=manifest.model.name,
        target=manifest.target,
        recipe=manifest.recipe.name,
        engine=manifest.recipe.engine,
        precision=manifest.recipe.precision,
        bundle_id=manifest.bundle_id,
        device=place.device.name,
        transport=place.device.transport,
        emulated=place.device.emulated,
        threads=place.threads,
        cpus=cpus,
        profile=cell.profile.name,
        effort=effort,
        facts_before=facts[0],
        facts_after=facts[1],
        runtime_versions=header["versions"],
        proof=proof,
        runs=tuple(runs),
        summary=summary,
        verdict=verdict,
    )


def _limit_s(budget_s: float, expected_s: float = 0.0) -> float:
    """When a timed process counts as hung."""
    return 60 + 4 * max(budget_s, expected_s)


def _lease_s(budget_s: float) -> float:
    """Long enough for any one process: it is renewed before each."""
    return max(_PROOF_S, _limit_s(budget_s)) + CALL_S
