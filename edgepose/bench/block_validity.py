"""Does a block count, and does a contest? Pure: everything they look at is an argument."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from edgepose.bench.contest import MIN_BLOCKS, Block
from edgepose.bench.plan import Effort
from edgepose.bench.record import RunSamples, Verdict
from edgepose.bench.validity import KNOBS, judge
from edgepose.prove.proof import Proof

Facts = Mapping[str, Any]
_UNSTEADY = "not converged"


def judge_block(
    runs: Sequence[RunSamples],
    *,
    proofs: Sequence[Proof],
    cpus: Sequence[Sequence[int]],
    effort: Effort,
    start: Facts,
    before: Facts,
    after: Facts,
) -> Verdict:
    """The verdict on a process of every contestant, by the rules of ``validity``.

    Each is judged by itself, for contestants may differ in the clock that they reach. ``before``
    and ``after`` are the facts around the block, ``start`` those at the contest's start: throttle
    bits that rose earlier are not the block's own, but the knobs must be those of the start, for
    all blocks are one sample.
    """
    baseline = {**before, **{knob: start.get(knob) for knob in KNOBS}}
    verdicts = [
        judge(
            proof=proof,
            effort=msgspec.structs.replace(effort, processes=1, note=""),
            runs=[run],
            summary=None,
            facts_before=baseline,
            facts_after=after,
            cpus=cores,
        )
        for run, proof, cores in zip(runs, proofs, cpus, strict=True)
    ]
    reasons = _once(reason for verdict in verdicts for reason in verdict.reasons)
    notes = _once(note for verdict in verdicts for note in verdict.notes)
    return Verdict(valid=not reasons, reasons=reasons, notes=notes)


def judge_contest(blocks: Sequence[Block], effort: Effort, *, emulated: bool) -> Verdict:
    """Whether enough blocks count; the notes are those of the blocks that do."""
    counted = [block for block in blocks if not block.reasons]
    why = by_keyword(reason for block in blocks for reason in block.reasons)
    reasons, notes = [], []
    if emulated:
        reasons.append("emulated: times taken there say nothing about a device")
    share = f"{len(counted)} of {len(blocks)} blocks count"
    if len(counted) < MIN_BLOCKS:
        reasons += [f"too few blocks: {share}, {MIN_BLOCKS} are needed", *why.values()]
    elif why:
        notes.append(f"repeated: {share}; the others: {', '.join(why)}")
    if MIN_BLOCKS <= len(counted) < effort.processes:
        notes.append(f"fewer blocks than wanted: {len(counted)}, not {effort.processes}")
    if effort.note:
        notes.append(f"reduced effort: {effort.note}")
    runs = [run for block in counted for run in block.runs]
    unsteady = sum(run.converged is False for run in runs)
    if unsteady:
        notes.append(f"{_UNSTEADY}: {unsteady} of {len(runs)} processes")
    noted = _once(note for block in counted for note in block.notes)
    notes += [note for note in noted if not note.startswith(_UNSTEADY)]
    return Verdict(valid=not reasons, reasons=tuple(reasons), notes=tuple(notes))


def by_keyword(reasons: Iterable[str]) -> dict[str, str]:
    """One reason of each kind."""
    return {reason.partition(":")[0]: reason for reason in reasons}


def _once(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
