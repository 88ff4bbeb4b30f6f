"""Measure one bundle on one device: lease, preflight, deploy, proof there, runs, record."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

import edgepose
from edgepose.bench.pending import find_or_begin
from edgepose.bench.place import Place, on_device
from edgepose.bench.plan import DEFAULT_BUDGET_S, PROFILES, Effort, Profile, fit_to_budget
from edgepose.bench.preflight import recorded_facts
from edgepose.bench.record import Record, RunSamples
from edgepose.bench.runs import Proven, Session, lease_s, prove_there, time_there
from edgepose.bench.statistics import Summary, summarise
from edgepose.bench.store import RecordStore
from edgepose.bench.validity import judge
from edgepose.bundle import Bundle
from edgepose.config import pick
from edgepose.devices.facts import DeviceFacts
from edgepose.devices.inventory import find_device
from edgepose.provenance import git_commit
from edgepose.recipes import fallback

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Cell:
    """What stays the same throughout one measurement."""

    place: Place
    session: Session
    profile: Profile


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
    with on_device(bundle, entry, threads, lease_s(budget_s), purpose) as place:
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
        names = ("prove", *(f"p{index}" for index in range(extent.processes)))
        session = Session(place, pending, names)
        with session.forgotten_on_failure():
            record = _measure(_Cell(place, session, extent), budget_s)
        # Before anything is forgotten: a full disk here must not cost the samples.
        (store or RecordStore()).append(record)
        session.forget()
        return record


def _measure(cell: _Cell, budget_s: float) -> Record:
    place, session = cell.place, cell.session
    proven = prove_there(place, session.run("prove"))
    effort = fit_to_budget(cell.profile, proven.latency_ms, proven.startup_s, budget_s)
    runs: list[RunSamples] = []
    if proven.proof.passed:
        expected_s = proven.shortest_s(effort)
        for index in range(effort.processes):
            what = f"process {index + 1} of {effort.processes}, about {expected_s:.0f} s"
            run = session.run(f"p{index}")
            runs.append(time_there(place, run, index, effort, expected_s, budget_s, what))
    return _record(cell, effort, place.read_facts(), proven, runs)


def _record(
    cell: _Cell,
    effort: Effort,
    after: DeviceFacts,
    proven: Proven,
    runs: list[RunSamples],
) -> Record:
    place, pending, manifest = cell.place, cell.session.pending, cell.place.bundle.manifest
    facts = recorded_facts(pending.facts), recorded_facts(after)
    cpus = tuple(proven.header["cpus"] or ())  # where the wanted cores exist
    summary: Summary | None = summarise([run.samples_ns for run in runs]) if runs else None
    verdict = judge(
        proof=proven.proof,
        effort=effort,
        runs=runs,
        summary=summary,
        facts_before=facts[0],
        facts_after=facts[1],
        cpus=cpus,
        fallback=fallback(manifest.recipe.precision, proven.computed_in),
    )
    return Record(
        record_id=pending.session_id,
        session_id=pending.session_id,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        edgepose_version=edgepose.__version__,
        git_commit=git_commit(),
        model=manifest.model.name,
        target=manifest.target,
        recipe=manifest.recipe.name,
        engine=manifest.recipe.engine,
        precision=manifest.recipe.precision,
        computed_in=proven.computed_in,
        tuning=manifest.tuning,
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
        runtime_versions=proven.header["versions"],
        proof=proven.proof,
        runs=tuple(runs),
        summary=summary,
        verdict=verdict,
    )
