"""Which recipe a race found the fastest for a model on a target: kept, and used by builds.

One file per model and target in ``<user data>/verdicts/<target>/``, the latest race's. A net of the
zoo goes by its name, an ONNX file by its topology, so that other weights keep the verdict: they
change whether a recipe can be proven, which every build asks again, and not how fast it is.
"""

import logging
import shlex
from pathlib import Path
from typing import Final, Literal

import msgspec

import edgepose
from edgepose.config import load_json
from edgepose.engines import find_engine
from edgepose.errors import UsageError
from edgepose.files import write_atomic
from edgepose.graph.check import read_graph
from edgepose.graph.topology import topology_hash
from edgepose.model_source import ModelSource
from edgepose.places import user_data
from edgepose.recipes import Recipe, recipe_for
from edgepose.targets import Target

AUTO: Final = "auto"
SCHEMA_VERSION: Final = 1
_ANY_OPSET = 10**6  # whether target and recipe can read it is the build's question
_log = logging.getLogger(__name__)


class Standing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A recipe in a race; ``toolchain`` made its bundle.

    ``ratio`` is its latency over that of the fastest, between ``ratio_low`` and ``ratio_high``.
    """

    recipe: str
    bundle_id: str
    toolchain: dict[str, str]
    median_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float


class RaceVerdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``standings`` are in the order in which a build takes them: the fastest first, but of those
    that cannot be told from it the one that the target lists first.

    ``winner`` is None where several are ``tied``; ``contest_id`` names the race's line in
    comparisons.jsonl.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    model: str
    target: str
    device: str
    threads: int
    created_at: str
    edgepose_version: str
    contest_id: str
    winner: str | None
    tied: tuple[str, ...]
    standings: tuple[Standing, ...]


def save_verdict(source: ModelSource, verdict: RaceVerdict) -> Path:
    """Keep it instead of an earlier one; returns its file."""
    path = _file(source, verdict.target)
    write_atomic(path, msgspec.json.format(msgspec.json.encode(verdict), indent=1))
    return path


def find_verdict(source: ModelSource, target: str) -> RaceVerdict | None:
    """The latest race's. Raises ConfigError where its file is damaged."""
    path = _file(source, target)
    return load_json(path, RaceVerdict) if path.is_file() else None


def fastest_recipe(source: ModelSource, target: Target, model: str) -> Recipe:
    """What the latest race says; whose evidence that is goes to the log, and what it is worth now.

    ``model`` is how the user named it. Raises UsageError where no race was run, or where none of
    its recipes is allowed any more.
    """
    command = f"edgepose race {shlex.quote(model)} --target {target.name}"
    command += "" if target.kind == "host" else " --device NAME"
    verdict = find_verdict(source, target.name)
    if verdict is None:
        raise UsageError(
            f"no race of {source.spec.name} was run for {target.name}, so the fastest recipe is "
            "not known",
            hint=f"Run one: `{command}`.",
        )
    usable = [one for one in verdict.standings if one.recipe in target.recipes.allowed]
    if not usable:
        raise UsageError(
            f"{target.name} allows none of the recipes that {evidence(verdict)} compared: "
            f"{', '.join(one.recipe for one in verdict.standings)}",
            hint=f"Run another: `{command}`.",
        )
    first, chosen = verdict.standings[0].recipe, usable[0]
    if chosen.recipe != first:
        _log.warning("%s does not allow %s any more, the race's first", target.name, first)
    recipe = recipe_for(target, chosen.recipe)
    _log.info("recipe %s: %s, by %s", chosen.recipe, _why(verdict, chosen), evidence(verdict))
    for notice in _outdated(verdict, chosen, recipe):
        _log.warning("%s; `%s` would tell whether the verdict still holds", notice, command)
    return recipe


def evidence(verdict: RaceVerdict) -> str:
    day = verdict.created_at.partition("T")[0]
    return f"the race on {verdict.device} of {day} ({verdict.contest_id})"


def _why(verdict: RaceVerdict, chosen: Standing) -> str:
    if len(verdict.standings) == 1:
        return "the only one that could be built and proven"
    if chosen.recipe == verdict.winner:
        next_best = verdict.standings[1]
        return f"the fastest, {next_best.recipe} takes {next_best.ratio:.2f} times as long"
    if chosen.recipe in verdict.tied:
        return f"{', '.join(verdict.tied)} cannot be told apart, and the target lists it first"
    return f"the fastest that is left, {chosen.ratio:.2f} times as long as {verdict.tied[0]}"


def _outdated(verdict: RaceVerdict, chosen: Standing, recipe: Recipe) -> list[str]:
    """What has changed since the race, as far as it may matter."""
    then, now = verdict.edgepose_version, edgepose.__version__
    notices = [f"the race was run by edgepose {then}, this is {now}"] if then != now else []
    for name, here in find_engine(recipe.engine).check().versions.items():
        there = chosen.toolchain.get(name)
        if there and there != here:
            notices.append(f"the race was run with {name} {there}, here is {here}")
    return notices


def _file(source: ModelSource, target: str) -> Path:
    return user_data() / "verdicts" / target / f"{_key(source)}.json"


def _key(source: ModelSource) -> str:
    if source.onnx is None:
        return source.spec.name
    read_graph(source.onnx, _ANY_OPSET)  # its errors say what is wrong with the file
    return f"onnx-{topology_hash(source.onnx)[:16]}"
