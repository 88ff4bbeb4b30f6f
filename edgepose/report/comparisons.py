"""Comparisons and races as text. Pure.

As in the tables of records: no time or ratio of an emulated device shows, and a refused contest
says REFUSED.
"""

from collections.abc import Iterator, Sequence

from tabulate import tabulate

from edgepose.bench.contest import Comparison, Contest, Contestant, Race
from edgepose.bench.paired import PairedRatio
from edgepose.bench.record import Verdict
from edgepose.bench.statistics import Summary
from edgepose.report.tables import (
    EMULATED,
    NOT_AVAILABLE,
    decimals_for,
    proof_text,
    tuned_text,
)

_MEDIAN = "median ± 95 % (ms)"
_LEFT_OUT = "left out"


def render_comparison(found: Comparison) -> str:
    """Both bundles' own latencies, then what the pairs of blocks say."""
    contest = found.contest
    headings = ("", "model", "recipe", "bundle", _MEDIAN, "proof")
    rows = [
        (letter, one.model, _recipe(one), one.bundle_id, _median(contest, summary), proof)
        for letter, one, summary, proof in zip(
            "AB", contest.contestants, contest.summaries(), _proofs(contest), strict=True
        )
    ]
    return "\n".join([_table(headings, rows), "", *_comparison_lines(found)])


def render_race(found: Race) -> str:
    """One row per recipe, the fastest first, then the verdict."""
    contest = found.contest
    headings = ("recipe", _MEDIAN, "times the fastest's", "proof", "verdict")
    ranking = found.ranking
    ratios = ranking.against_best if ranking else (None,) * len(contest.contestants)
    rows = []
    for one, summary, ratio, proof in zip(
        contest.contestants, contest.summaries(), ratios, _proofs(contest), strict=True
    ):
        times = _interval(ratio) if ratio else ("1" if ranking else NOT_AVAILABLE)
        verdict = _place(found, one.recipe)
        rows.append((_recipe(one), _median(contest, summary), times, proof, verdict))
    order = sorted(range(len(rows)), key=lambda index: _ratio(ratios[index]))
    lines = [rows[index] for index in order]
    lines += [(one.recipe, *(NOT_AVAILABLE,) * 3, _LEFT_OUT) for one in found.left_out]
    return "\n".join([_table(headings, lines), "", *_race_lines(found)])


def _comparison_lines(found: Comparison) -> Iterator[str]:
    yield _conditions(found.contest)
    ratio = found.ratio
    if ratio is None:
        yield _refusal(found.contest.verdict)
        return
    verdict = {
        "faster": "B is faster than A",
        "slower": "B is slower than A",
        "cannot tell": "cannot tell A from B",
    }[ratio.outcome]
    yield f"{verdict}: B takes {_interval(ratio)} times as long as A ({_confidence(ratio)})"
    yield _reach(ratio.smallest_effect)


def _race_lines(found: Race) -> Iterator[str]:
    yield f"{found.model} on {_conditions(found.contest)}"
    for one in found.left_out:
        yield f"{_LEFT_OUT}: {one.recipe}: {one.reason}"
    if found.ranking is None:
        yield _refusal(found.contest.verdict)
        return
    ratios = [ratio for ratio in found.ranking.against_best if ratio]
    if not ratios:
        yield f"winner: {found.winner}, the only one that could be built, proven and timed"
        return
    if found.winner:
        nearest = min(ratios, key=_ratio)
        second = found.contest.contestants[found.ranking.against_best.index(nearest)].recipe
        yield (
            f"winner: {found.winner}; {second} takes {_interval(nearest)} times as long "
            f"({_confidence(nearest)})"
        )
    else:
        yield f"cannot tell: {', '.join(found.tied)}"
    yield _reach(max(ratio.smallest_effect for ratio in ratios))
    which = "" if found.winner else ", which the target lists first"
    yield f"`edgepose build … --recipe auto` takes {found.recipe}{which}"


def _conditions(contest: Contest) -> str:
    counted = sum(not block.reasons for block in contest.blocks)
    threads = f"{contest.threads} thread{'s' if contest.threads > 1 else ''}"
    blocks = f"{counted} interleaved block{'' if counted == 1 else 's'}"
    place = f"{contest.device} ({contest.target})"
    return f"{place}, {threads}, {blocks} of {contest.effort.runs} runs each"


def _refusal(verdict: Verdict) -> str:
    return f"REFUSED: {'; '.join(verdict.reasons)}"


def _reach(smallest_effect: float) -> str:
    return f"a difference of {smallest_effect:.1%} would be seen four times out of five"


def _confidence(ratio: PairedRatio) -> str:
    """Where several comparisons share the 5 %, each one alone has more than 95 %."""
    return "95 % interval" if ratio.confidence == 0.95 else "simultaneous 95 % interval"


def _interval(ratio: PairedRatio) -> str:
    """As ``1.32 [1.30, 1.34]``."""
    decimals = max(2, decimals_for((ratio.high - ratio.low) / 2, ratio.ratio))
    return f"{ratio.ratio:.{decimals}f} [{ratio.low:.{decimals}f}, {ratio.high:.{decimals}f}]"


def _median(contest: Contest, summary: Summary | None) -> str:
    if contest.emulated:
        return EMULATED
    if summary is None:
        return NOT_AVAILABLE
    decimals = decimals_for(summary.half_width_ms, summary.median_ms)
    half = summary.half_width_ms
    spread = NOT_AVAILABLE if half is None else f"{half:.{decimals}f}"
    return f"{summary.median_ms:.{decimals}f} ± {spread}"


def _place(found: Race, recipe: str) -> str:
    if found.ranking is None:
        keywords = (reason.partition(":")[0] for reason in found.contest.verdict.reasons)
        return f"REFUSED: {', '.join(keywords)}"
    if recipe == found.winner:
        return "winner"
    return "cannot tell" if recipe in found.tied else "slower"


def _recipe(one: Contestant) -> str:
    return one.recipe + tuned_text(one.tuning.tuned if one.tuning else None)


def _proofs(contest: Contest) -> list[str]:
    return [proof_text(one.proof) for one in contest.contestants]


def _ratio(ratio: PairedRatio | None) -> float:
    return ratio.ratio if ratio else 1.0


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return tabulate(rows, headings, tablefmt="simple", disable_numparse=True)
