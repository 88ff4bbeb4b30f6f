"""The bundles of a contest that may be timed: they run on the device, proven there."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from edgepose.bench.contest import Contestant
from edgepose.bench.place import Place, settle
from edgepose.bench.runs import Proven, Session, prove_there
from edgepose.bundle import Bundle
from edgepose.errors import EdgePoseError, ProofError, RunError, RuntimeMissingError
from edgepose.recipes import fallback

Misfit = Callable[[Bundle, EdgePoseError], None]

# Other work on a core delays a trial run by its turns of some milliseconds; a net that is quick in
# truth costs a contest little, and so gets its chance.
_SURE_MS = 20.0


@dataclass(frozen=True)
class Entrant:
    """A bundle that may be timed; ``index`` names its runs."""

    index: int
    place: Place
    proven: Proven

    @property
    def cpus(self) -> tuple[int, ...]:
        """The cores its runs are pinned to, of those that exist."""
        return tuple(self.proven.header["cpus"] or ())


def prove_all(
    bundles: Sequence[Bundle], session: Session, threads: int | None, misfit: Misfit
) -> Iterator[Entrant]:
    """Those that the device can run and that are proven there; the others go to ``misfit``."""
    for index, bundle in enumerate(bundles):
        try:
            place = settle(bundle, session.station, threads)
            proven = prove_there(place, session.run(f"prove-{index}"))
            if not proven.proof.passed:
                raise ProofError(
                    f"{bundle.name} is not proven on {place.device.name}: "
                    f"{'; '.join(proven.proof.failures)}",
                    hint="What gives other outputs is not timed. Use a recipe of higher precision.",
                )
            other = fallback(bundle.manifest.recipe.precision, proven.computed_in)
            if other:
                raise RunError(
                    f"fallback: on {place.device.name} {other}",
                    hint=f"That is not {bundle.manifest.recipe.name}: choose a recipe for its CPU.",
                )
            yield Entrant(index, place, proven)
        except (ProofError, RunError, RuntimeMissingError) as error:
            misfit(bundle, error)


def without_far_slower(
    entrants: list[Entrant], far_slower: float | None, misfit: Misfit
) -> list[Entrant]:
    """Those whose trial runs took at most ``far_slower`` times as long as the quickest one's, or
    hardly any time at all.
    """
    quickest_ms = min((one.proven.latency_ms for one in entrants), default=0.0)
    kept = []
    for one in entrants:
        # Its quickest trial run: a cold one that took long says nothing.
        latency_ms = min(one.proven.estimates_ms)
        times = latency_ms / quickest_ms
        if far_slower and times > far_slower and latency_ms > _SURE_MS:
            text = f"far slower: its trial runs took {times:.0f} times as long as the quickest's"
            tuning = one.place.bundle.manifest.tuning
            untuned = "; it is untuned" if tuning and tuning.tuned == "no" else ""
            misfit(one.place.bundle, RunError(text + untuned))
        else:
            kept.append(one)
    return kept


def contestant(one: Entrant) -> Contestant:
    manifest = one.place.bundle.manifest
    return Contestant(
        model=manifest.model.name,
        recipe=manifest.recipe.name,
        engine=manifest.recipe.engine,
        precision=manifest.recipe.precision,
        bundle_id=manifest.bundle_id,
        toolchain=manifest.toolchain,
        runtime_versions=one.proven.header["versions"],
        proof=one.proven.proof,
        tuning=manifest.tuning,
        computed_in=one.proven.computed_in,
    )
