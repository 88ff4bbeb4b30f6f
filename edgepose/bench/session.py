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
from edgepose.bench.plan import DEFAULT_BUDGET_S, PROFILES, Effort, Profile, fit_to_budget
from edgepose.bench.preflight import cool_down, preflight, recorded_facts
from edgepose.bench.record import Record, RunSamples
from edgepose.bench.remote_run import RemoteRun
from edgepose.bench.samples import read_samples
from edgepose.bench.statistics import Summary, summarise
from edgepose.bench.store import RecordStore
from edgepose.bench.validity import judge
from edgepose.bundle import RUNNER, Bundle, judge_bundle, make_plan
from edgepose.config import pick
from edgepose.deadline import Deadline
from edgepose.devices.cache import ensure_cached
from edgepose.devices.connect import connect, workdir_of
from edgepose.devices.device import Device
from edgepose.devices.facts import DeviceFacts, read_facts
from edgepose.devices.inventory import find_device
from edgepose.devices.lease import Lease, held
from edgepose.devices.python import python_command
from edgepose.devices.transport import Transport
from edgepose.errors import DeviceError, UnreachableError, UsageError
from edgepose.prove.proof import Proof
from edgepose.provenance import git_commit
from edgepose.runners.result import RunResult
from edgepose.targets import load_target

_log = logging.getLogger(__name__)
_CALL_S = 60.0
_DEPLOY_S = 900.0
_PROOF_S = 1800.0
_SENSOR_PERIOD_S = 1.0
# A process's start beside the measured load time: Python and its imports. Rather too long: a look
# before the end would disturb the timed loop on a small board.
_STARTUP_S = {"local": 0.5, "ssh": 2.0}


@dataclass(frozen=True)
class _Cell:
    """What stays the same throughout one measurement."""

    bundle: Bundle
    device: Device
    transport: Transport
    lease: Lease
    pending: Pending
    workdir: str
    paths: dict[str, str]
    command: list[str]
    profile: Profile
    threads: int
    cpus: tuple[int, ...]

    def run(self, name: str) -> RemoteRun:
        run_id = f"{self.pending.session_id}-{name}"
        return RemoteRun(self.transport, f"{self.workdir}/runs/{run_id}", run_id)


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
    threads, cpus = _cores(entry, bundle, threads)
    transport = connect(entry, _soon())
    try:
        workdir = workdir_of(entry, transport, _soon())
        purpose = f"bench {bundle.name}"
        with held(transport, workdir, _lease_s(budget_s), purpose, _soon()) as lease:
            command = python_command(entry, transport, _soon())
            facts = read_facts(transport, _soon(), python=command, workdir=workdir)
            preflight(entry, bundle, facts)
            paths = _deploy(bundle, transport, workdir)
            pending, resumed = find_or_begin(
                {
                    "bundle": bundle.manifest.bundle_id,
                    "device": entry,
                    "profile": extent,
                    "threads": threads,
                    "budget_s": float(budget_s),
                },
                facts,
            )
            if resumed:
                _log.info("%s: re-attaching to session %s", device, pending.session_id)
            cell = _Cell(
                bundle=bundle,
                device=entry,
                transport=transport,
                lease=lease,
                pending=pending,
                workdir=workdir,
                paths=paths,
                command=[*command, paths[RUNNER]],
                profile=extent,
                threads=threads,
                cpus=cpus,
            )
            record = _remembering(cell, budget_s)
            # Before anything is forgotten: a full disk here must not cost the samples.
            (store or RecordStore()).append(record)
            _forget(cell)
            return record
    finally:
        transport.close()


def _cores(device: Device, bundle: Bundle, threads: int | None) -> tuple[int, tuple[int, ...]]:
    """How many threads, and the cores they are pinned to (empty: any).

    Raises UsageError where the bundle is for other hardware.
    """
    manifest = bundle.manifest
    if manifest.target != device.target:
        raise UsageError(
            f"{bundle.name} was not built for device {device.name!r}, which is a {device.target}",
            hint=f"Build it: `edgepose build {manifest.model.name} --target {device.target}`.",
        )
    cpu = load_target(device.target).cpu
    count = threads or cpu.threads or len(cpu.fast_cores)
    # The last ones: on many systems the first core serves the interrupts.
    return count, cpu.fast_cores[-count:] if count <= len(cpu.fast_cores) else ()


def _deploy(bundle: Bundle, transport: Transport, workdir: str) -> dict[str, str]:
    """Send what the device lacks; file name → path there."""
    files = bundle.manifest.files
    local = {digest: bundle.folder / name for name, digest in files.items()}
    remote = ensure_cached(transport, workdir, local, Deadline.after(_DEPLOY_S))
    return {name: remote[digest] for name, digest in files.items()}


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
        cell.transport.run(["rm", "-rf", *(cell.run(name).folder for name in names)], _soon())


def _measure(cell: _Cell, budget_s: float) -> Record:
    proving = cell.run("prove")
    result = _finish(cell, proving, f"proving {cell.bundle.name}", "prove", _PROOF_S, 0.5)
    proof = judge_bundle(cell.bundle, proving.outputs(result), where=cell.device.name)
    header = result.one("header")
    estimates_ms = [max(1e-3, ns / 1e6) for ns in result.one("estimate")["ns"]]
    startup_s = _STARTUP_S[cell.device.transport] + header["load_ms"] / 1e3
    effort = fit_to_budget(cell.profile, median(estimates_ms), startup_s, budget_s)
    runs: list[RunSamples] = []
    if proof.passed:
        # The quickest: the estimates are of a cold net, and nobody looks before this time.
        shortest_s = startup_s + (effort.warmup_min + effort.runs) * min(estimates_ms) / 1e3
        for index in range(effort.processes):
            runs.append(_timed(cell, index, effort, shortest_s, budget_s))
    after = read_facts(cell.transport, _soon(), python=cell.command[:-1], workdir=cell.workdir)
    return _record(cell, effort, after, header, proof, runs)


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
    run = cell.run(f"p{index}")
    what = f"process {index + 1} of {effort.processes}, about {expected_s:.0f} s"
    limit_s = _limit_s(budget_s, expected_s)
    return read_samples(_finish(cell, run, what, "time", limit_s, expected_s, **settings), index)


def _finish(
    cell: _Cell,
    run: RemoteRun,
    what: str,
    mode: str,
    limit_s: float,
    expected_s: float,
    **settings: Any,
) -> RunResult:
    """Start ``run`` unless an earlier command did, and wait for its result."""
    cell.lease.renew(_soon())
    began_before = run.was_started()
    _log.info("%s: %s%s", cell.device.name, what, ", begun before" if began_before else "")
    if not began_before:
        cool_down(cell.transport)
        plan = make_plan(
            cell.bundle.manifest,
            mode,
            run.run_id,
            cell.paths,
            threads=cell.threads,
            cpus=cell.cpus or None,
            **settings,
        )
        run.start(plan, cell.command)
    try:
        return run.wait(expected_s, Deadline.after(limit_s))
    except KeyboardInterrupt:
        run.stop()
        raise


def _record(
    cell: _Cell,
    effort: Effort,
    after: DeviceFacts,
    header: Mapping[str, Any],
    proof: Proof,
    runs: list[RunSamples],
) -> Record:
    manifest = cell.bundle.manifest
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
        device=cell.device.name,
        transport=cell.device.transport,
        emulated=cell.device.emulated,
        threads=cell.threads,
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
    return max(_PROOF_S, _limit_s(budget_s)) + _CALL_S


def _soon() -> Deadline:
    return Deadline.after(_CALL_S)
