"""Does a measurement count? Pure: everything it looks at is an argument.

Judged keys of the facts that a device tells before and after the runs, where it tells them:
``boot_id``, ``throttled`` (Raspberry Pi bits, ``0x0``), ``temperatures_c``, ``phone`` (thermal
status and charging) and the knobs in ``KNOBS``, each a value or a table by core or policy.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgepose.bench.plan import Effort
from edgepose.bench.record import RunSamples, SensorReading, Verdict
from edgepose.bench.statistics import Summary
from edgepose.devices.phone_sensors import SEVERE, status_name
from edgepose.prove.proof import Proof

KNOBS = ("governor", "turbo", "power_mode", "max_clock_mhz")
MIN_CLOCK_FRACTION = 0.9
MIN_CPU_FRACTION = 0.85
MAX_STEADY_SPREAD = 0.1

_FIXED_GOVERNORS = {"performance", "userspace"}
_ACTIVE_NOW = 0xF  # bits 0 to 3: under-voltage, clock capped, throttled, soft temperature limit


def judge(
    *,
    proof: Proof,
    effort: Effort,
    runs: Sequence[RunSamples],
    summary: Summary | None,
    facts_before: Mapping[str, Any],
    facts_after: Mapping[str, Any],
    cpus: Sequence[int] = (),
    fallback: str = "",
) -> Verdict:
    """The verdict on one measurement; ``cpus`` are the measured cores, empty for all.

    ``fallback`` says that something else than the recipe was measured (``recipes.fallback``).
    """
    reasons = [
        *([f"fallback: {fallback}"] if fallback else []),
        *(_missing_samples(effort, runs) if proof.passed else _proof_reasons(proof)),
        *_reboot(facts_before, facts_after),
        *_changed_knobs(facts_before, facts_after),
        *_throttle_bits(runs, facts_before, facts_after),
        *_fallen_clock(runs, facts_before, cpus),
        *_severe_heat(runs, facts_before, facts_after),
        *_foreign_load(runs),
    ]
    notes = [
        *_effort_notes(effort, runs),
        *_output_notes(runs),
        *_sensor_notes(runs, facts_before),
        *_phone_notes(runs, facts_before, facts_after),
        *_spread_notes(summary),
    ]
    if proof.weights == "untrained":
        notes.append("untrained weights: the proof is in tensor space only")
    return Verdict(valid=not reasons, reasons=tuple(reasons), notes=tuple(notes))


def _proof_reasons(proof: Proof) -> Iterator[str]:
    yield f"proof failed: {'; '.join(proof.failures) or 'no figure was given'}"


def _missing_samples(effort: Effort, runs: Sequence[RunSamples]) -> Iterator[str]:
    if len(runs) < effort.processes:
        yield f"samples missing: {len(runs)} of {effort.processes} processes came home"
    for run in runs:
        if len(run.samples_ns) < effort.runs:
            yield (
                f"samples missing: process {run.process_index} has "
                f"{len(run.samples_ns)} of {effort.runs}"
            )


def _reboot(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    boots = before.get("boot_id"), after.get("boot_id")
    if all(boots) and boots[0] != boots[1]:
        yield "rebooted: the device started anew during the measurement"


def _changed_knobs(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for knob in KNOBS:
        values = before.get(knob), after.get(knob)
        if None not in values and values[0] != values[1]:
            yield f"knob changed: {knob} went from {values[0]!r} to {values[1]!r}"


def _throttle_bits(
    runs: Sequence[RunSamples], before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[str]:
    """Bits that rose, or that say "now". The sticky ones from before the start accuse nobody."""
    seen = [before.get("throttled")]
    seen += [reading.throttled for run in runs for reading in run.sensors]
    seen.append(after.get("throttled"))
    masks = [mask for mask in map(_mask, seen) if mask is not None]
    bad = 0
    for mask in masks:
        bad |= mask & (~masks[0] | _ACTIVE_NOW)
    if bad:
        yield f"throttled: the firmware set the bits {bad:#x}"


def _mask(text: object) -> int | None:
    try:
        return int(str(text), 16)
    except ValueError:
        return None  # absent, or the words of another kind of board


def _fallen_clock(
    runs: Sequence[RunSamples], before: Mapping[str, Any], cpus: Sequence[int]
) -> Iterator[str]:
    """The clock of the fastest measured core against its first reading.

    Idle cores sleep at low clocks under most governors, hence the fastest; and so does the busy one
    until its load is seen, hence a run's first reading counts under a fixed governor only.
    """
    skipped = 0 if _governors(before) <= _FIXED_GOVERNORS and _governors(before) else 1
    clocks = [[_clock(reading, cpus) for reading in run.sensors] for run in runs]
    start = next((clock for run in clocks for clock in run if clock), None)
    lowest = min((clock for run in clocks for clock in run[skipped:] if clock), default=None)
    if start and lowest and lowest < MIN_CLOCK_FRACTION * start:
        yield f"throttled: the clock fell from {start:.0f} to {lowest:.0f} MHz"


def _clock(reading: SensorReading, cpus: Sequence[int]) -> float | None:
    wanted = {f"cpu{cpu}" for cpu in cpus} or reading.clocks_mhz.keys()
    return max((mhz for core, mhz in reading.clocks_mhz.items() if core in wanted), default=None)


def _governors(facts: Mapping[str, Any]) -> set[str]:
    """All cores' governors: the fact is one name, or a table by core or policy."""
    governor = facts.get("governor")
    if isinstance(governor, Mapping):
        return set(governor.values())
    return {governor} if governor else set()


def _severe_heat(
    runs: Sequence[RunSamples], before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[str]:
    worst = max(_thermal_statuses(runs, before, after), default=0)
    if worst >= SEVERE:
        yield f"throttled: the phone's thermal status was {status_name(worst)}"


def _thermal_statuses(
    runs: Sequence[RunSamples], before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[int]:
    """Before, after each process, and at the end: what the phone told."""
    seen = [run.thermal_status for run in runs]
    seen += [_phone(facts).get("thermal_status") for facts in (before, after)]
    return [status for status in seen if status is not None]


def _phone(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    return facts.get("phone") or {}


def _foreign_load(runs: Sequence[RunSamples]) -> Iterator[str]:
    """A loop that is all arithmetic and waits for nobody has at least one core busy throughout."""
    shares = [run.cpu_ns / run.wall_ns for run in runs if run.wall_ns]
    if shares and min(shares) < MIN_CPU_FRACTION:
        yield (
            f"foreign load: the timed loop had the processor for {min(shares):.0%} of its time only"
        )


def _effort_notes(effort: Effort, runs: Sequence[RunSamples]) -> Iterator[str]:
    if effort.note:
        yield f"reduced effort: {effort.note}"
    unsteady = sum(run.converged is False for run in runs)
    if unsteady:
        yield f"not converged: {unsteady} of {len(runs)} processes, at the end of their warm-up"


def _output_notes(runs: Sequence[RunSamples]) -> Iterator[str]:
    if not all(run.outputs_steady for run in runs):
        yield "outputs not steady: the last inference differs in some bits from the first"


def _sensor_notes(runs: Sequence[RunSamples], before: Mapping[str, Any]) -> Iterator[str]:
    read = any(reading.temperatures_c for run in runs for reading in run.sensors)
    if not read and not before.get("temperatures_c"):
        yield "no temperature sensor is readable"
    governors = _governors(before)
    if governors - {"performance"}:
        yield f"the governor is {', '.join(sorted(governors))}, not performance"
    if not governors:
        yield "the governor is not readable"


def _phone_notes(
    runs: Sequence[RunSamples], before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[str]:
    worst = max(_thermal_statuses(runs, before, after), default=0)
    if 0 < worst < SEVERE:
        yield f"warm: the phone's thermal status rose to {status_name(worst)}"
    if any(_phone(facts).get("charging") for facts in (before, after)):
        yield "charging: the phone's battery was charged meanwhile, which warms the phone"
    if _phone(before) and not _thermal_statuses(runs, before, after):
        yield "the phone's thermal status is not readable"


def _spread_notes(summary: Summary | None) -> Iterator[str]:
    if summary and summary.std_ms and summary.std_ms >= MAX_STEADY_SPREAD * summary.mean_ms:
        share = summary.std_ms / summary.mean_ms
        yield f"may be unstable: the standard deviation is {share:.0%} of the mean"
