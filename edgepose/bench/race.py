"""Which of a target's recipes makes the fastest proven bundle of a model, measured on a device."""

import logging
from collections.abc import Sequence
from pathlib import Path

from edgepose.bench.contest import Contest, LeftOut, Race
from edgepose.bench.interleaved import interleaved
from edgepose.bench.paired import Ranking, rank
from edgepose.bench.plan import DEFAULT_BUDGET_S
from edgepose.bench.store import append_comparison
from edgepose.build import build
from edgepose.bundle import Bundle
from edgepose.devices.inventory import find_device
from edgepose.errors import BuildError, EdgePoseError, ProofError, UsageError
from edgepose.model_source import find_source
from edgepose.recipes import recipe_for
from edgepose.targets import Target, load_target
from edgepose.verdicts import RaceVerdict, Standing, save_verdict

_FAR_SLOWER = 10.0  # trial runs are few and of a cold net: less may be chance
_log = logging.getLogger(__name__)


def race(
    model: str,
    target: str | None = None,
    device: str = "local",
    *,
    recipes: Sequence[str] | None = None,
    weights: Path | str | None = None,
    untrained: bool = False,
    threads: int | None = None,
    budget_s: float | None = None,
) -> Race:
    """Build, prove and time ``model`` with every recipe that the target allows, or ``recipes``.

    ``target`` is the device's unless given. ``budget_s`` bounds the timed part, by default five
    minutes a recipe. What cannot be built or proven is left out, with its reason. The race is
    appended to comparisons.jsonl beside the records, and a race that counts becomes the verdict
    that builds with the recipe ``auto`` go by. Raises UsageError, BuildError where no recipe is
    left, DeviceError, LeaseError, RunError.
    """
    entry = find_device(device)
    hardware = load_target(target or entry.target)
    if hardware.name != entry.target:
        raise UsageError(
            f"device {device!r} is a {entry.target}, so it cannot run a race for {hardware.name}",
            hint="Leave --target out, or name another device.",
        )
    names = [recipe_for(hardware, name).name for name in recipes or hardware.recipes.allowed]
    source = find_source(model, Path(weights) if weights else None, untrained)
    left_out: list[LeftOut] = []

    def leave_out(recipe: str, error: EdgePoseError) -> None:
        hint = f" {error.hint}" if error.hint else ""
        _log.warning("%s takes no part: %s.%s", recipe, error, hint)
        left_out.append(LeftOut(recipe=recipe, reason=str(error)))

    bundles = []
    for name in dict.fromkeys(names):
        try:
            bundles.append(build(model, hardware.name, name, weights, untrained=untrained))
        except (BuildError, ProofError) as error:
            leave_out(name, error)
    if not bundles:
        raise BuildError(
            f"no recipe makes a proven bundle of {source.spec.name} for {hardware.name}: "
            + "; ".join(f"{one.recipe}: {one.reason}" for one in left_out),
            hint="What each of them lacks stands above.",
        )

    def misfit(bundle: Bundle, error: EdgePoseError) -> None:
        leave_out(bundle.manifest.recipe.name, error)

    with interleaved(
        bundles,
        entry,
        purpose=f"race {source.spec.name}",
        threads=threads,
        budget_s=budget_s or DEFAULT_BUDGET_S * len(bundles),
        misfit=misfit,
        far_slower=_FAR_SLOWER,
    ) as contest:
        found = _judge(source.spec.name, contest, left_out, hardware)
        append_comparison(found)
    if found.ranking:
        save_verdict(source, _verdict(found, found.ranking))
    return found


def _judge(model: str, contest: Contest, left_out: list[LeftOut], target: Target) -> Race:
    names = [one.recipe for one in contest.contestants]
    ranking = rank(contest.medians_ns()) if contest.verdict.valid else None
    tied = [names[index] for index in ranking.tied] if ranking else []
    tied.sort(key=target.recipes.allowed.index)
    return Race(
        model=model,
        contest=contest,
        left_out=tuple(left_out),
        ranking=ranking,
        winner=tied[0] if len(tied) == 1 else None,
        tied=tuple(tied),
        recipe=tied[0] if tied else None,
    )


def _verdict(found: Race, ranking: Ranking) -> RaceVerdict:
    contest, standings = found.contest, []
    for one, ratio, summary in zip(
        contest.contestants, ranking.against_best, contest.summaries(), strict=True
    ):
        assert summary is not None, "a contest that counts has blocks that count"
        standings.append(
            Standing(
                recipe=one.recipe,
                bundle_id=one.bundle_id,
                toolchain=one.toolchain,
                median_ms=summary.median_ms,
                ratio=ratio.ratio if ratio else 1.0,
                ratio_low=ratio.low if ratio else 1.0,
                ratio_high=ratio.high if ratio else 1.0,
            )
        )
    tied = found.tied

    def turn(standing: Standing) -> tuple[int, float]:
        is_tied = standing.recipe in tied
        return (tied.index(standing.recipe) if is_tied else len(tied)), standing.ratio

    return RaceVerdict(
        model=found.model,
        target=contest.target,
        device=contest.device,
        threads=contest.threads,
        created_at=contest.created_at,
        edgepose_version=contest.edgepose_version,
        contest_id=contest.contest_id,
        winner=found.winner,
        tied=tied,
        standings=tuple(sorted(standings, key=turn)),
    )
