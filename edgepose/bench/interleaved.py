"""Time several bundles on one device in randomised interleaved blocks, within one lease."""

import logging
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec

import edgepose
from edgepose.bench.block_validity import by_keyword, judge_block, judge_contest
from edgepose.bench.contest import MIN_BLOCKS, Block, Contest
from edgepose.bench.entrants import Entrant, Misfit, contestant, prove_all, without_far_slower
from edgepose.bench.pending import find_or_begin
from edgepose.bench.place import Station, at_station, require_target, soon
from edgepose.bench.plan import COMPARE, Effort, fit_to_budget
from edgepose.bench.preflight import recorded_facts
from edgepose.bench.record import RunSamples
from edgepose.bench.runs import Session, lease_s, time_there
from edgepose.bundle import Bundle
from edgepose.deadline import Deadline
from edgepose.devices.device import Device
from edgepose.devices.facts import DeviceFacts
from edgepose.devices.sensors import read_sensors
from edgepose.errors import RunError, UsageError
from edgepose.provenance import git_commit

# A block that does not count is repeated, but no more than this many are begun for one that counts.
_ATTEMPTS_PER_BLOCK = 2
_PAUSE_S = 5.0  # before a repetition: what disturbed the block is often gone then
_log = logging.getLogger(__name__)


@contextmanager
def interleaved(
    bundles: Sequence[Bundle],
    device: Device,
    *,
    purpose: str,
    threads: int | None,
    budget_s: float,
    misfit: Misfit,
    far_slower: float | None = None,
) -> Iterator[Contest]:
    """Prove all ``bundles`` on ``device``, then time them there block by block.

    One that the device cannot run or that is not proven there goes to ``misfit``, which raises or
    leaves it out; so does one whose trial runs took ``far_slower`` times as long as the quickest
    one's. ``budget_s`` bounds the timed part. What lies on the device is removed after the block,
    which is the place to store the contest. Raises UsageError, DeviceError, LeaseError, RunError; a
    contest that does not count is no error but refused with its reasons.
    """
    for bundle in bundles:
        require_target(bundle, device)
    with at_station(device, lease_s(budget_s), purpose) as station:
        command: dict[str, object] = {
            "purpose": purpose,
            "bundles": [bundle.manifest.bundle_id for bundle in bundles],
            "device": device,
            "threads": threads,
            "budget_s": float(budget_s),
        }
        pending, resumed = find_or_begin(command, station.facts)
        if resumed:
            _log.info("%s: re-attaching to session %s", device.name, pending.session_id)
        session = Session(station, pending, tuple(_run_names(len(bundles))))
        with session.forgotten_on_failure():
            entrants = list(prove_all(bundles, session, threads, misfit))
            entrants = without_far_slower(entrants, far_slower, misfit)
            contest = _hold(session, entrants, budget_s)
        yield contest
        session.forget()


def _run_names(count: int) -> Iterator[str]:
    for index in range(count):
        yield f"prove-{index}"
        for attempt in range(_ATTEMPTS_PER_BLOCK * COMPARE.processes):
            yield f"b{attempt}-{index}"


def _hold(session: Session, entrants: list[Entrant], budget_s: float) -> Contest:
    station = session.station
    if not entrants:
        raise RunError(
            f"nothing is left to be timed on {station.device.name}",
            hint="The reasons stand above: each bundle's own.",
        )
    effort = _effort(entrants, budget_s)
    blocks = tuple(_blocks(session, entrants, effort, budget_s))
    first = entrants[0]
    return Contest(
        contest_id=session.pending.session_id,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        edgepose_version=edgepose.__version__,
        git_commit=git_commit(),
        target=station.device.target,
        device=station.device.name,
        transport=station.device.transport,
        emulated=station.device.emulated,
        threads=first.place.threads,
        cpus=first.cpus,
        effort=effort,
        facts_before=recorded_facts(session.pending.facts),
        facts_after=recorded_facts(station.read_facts()),
        contestants=tuple(contestant(one) for one in entrants),
        blocks=blocks,
        verdict=judge_contest(blocks, effort, emulated=station.device.emulated),
    )


def _effort(entrants: Sequence[Entrant], budget_s: float) -> Effort:
    """What every contestant spends; a block takes as long as all of them together."""
    latency_ms = sum(one.proven.latency_ms for one in entrants)
    startup_s = sum(one.proven.startup_s for one in entrants)
    effort = fit_to_budget(COMPARE, latency_ms, startup_s, budget_s)
    if effort.processes < MIN_BLOCKS:
        least = Effort(processes=MIN_BLOCKS, warmup_min=1, warmup_max=1, runs=3)
        needed_s = least.longest_s(latency_ms, startup_s)
        raise UsageError(
            f"{MIN_BLOCKS} blocks, the least that give an interval, do not fit into {budget_s:g} s",
            hint=f"Give it --budget {needed_s + 1:.0f}s or more.",
        )
    return effort


def _blocks(
    session: Session, entrants: Sequence[Entrant], effort: Effort, budget_s: float
) -> Iterator[Block]:
    """Blocks until enough of them count, or the budget is spent."""
    start, deadline = session.pending.facts, Deadline.after(budget_s)
    before, counted, disturbed = start, 0, False
    for attempt in range(_ATTEMPTS_PER_BLOCK * effort.processes):
        if counted == effort.processes or (deadline.expired and attempt >= MIN_BLOCKS):
            return
        if disturbed:
            time.sleep(min(_PAUSE_S, deadline.remaining_s))
        order = list(range(len(entrants)))
        random.Random(f"{session.pending.session_id}/{attempt}").shuffle(order)
        title = f"block {counted + 1} of {effort.processes}"
        runs = _time_block(session, entrants, order, attempt, effort, budget_s, title)
        after = _facts_now(session.station)
        verdict = judge_block(
            runs,
            proofs=[one.proven.proof for one in entrants],
            cpus=[one.cpus for one in entrants],
            effort=effort,
            start=recorded_facts(start),
            before=recorded_facts(before),
            after=recorded_facts(after),
        )
        block = Block(
            attempt=attempt,
            order=tuple(order),
            runs=runs,
            reasons=verdict.reasons,
            notes=verdict.notes,
        )
        yield block
        before, disturbed = after, bool(block.reasons)
        counted += not disturbed
        if disturbed:
            reasons = "; ".join(by_keyword(block.reasons).values())
            _log.info("the block does not count: %s", reasons)


def _time_block(
    session: Session,
    entrants: Sequence[Entrant],
    order: Sequence[int],
    attempt: int,
    effort: Effort,
    budget_s: float,
    title: str,
) -> tuple[RunSamples, ...]:
    """A process of every entrant in this ``order``; the samples are in the entrants' own."""
    runs = {}
    for index in order:
        place, proven = entrants[index].place, entrants[index].proven
        runs[index] = time_there(
            place,
            session.run(f"b{attempt}-{entrants[index].index}"),
            attempt,
            effort,
            proven.shortest_s(effort),
            budget_s,
            f"{title}: {place.bundle.manifest.recipe.name}",
        )
    return tuple(runs[index] for index in range(len(entrants)))


def _facts_now(station: Station) -> DeviceFacts:
    """What can change within a contest: its sensors. All facts would cost a board a Python."""
    sensors = read_sensors(station.transport, soon())
    return msgspec.structs.replace(station.facts, sensors=sensors)
