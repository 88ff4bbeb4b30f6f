"""The one place that knows the order of a build: graph, golden data, artifact, proof, bundle."""

import logging
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

import edgepose
from edgepose.bundle import (
    MANIFEST,
    SCHEMA_VERSION,
    ArtifactInfo,
    Bundle,
    Manifest,
    WeightsInfo,
    load_bundle,
    seal,
    verify,
)
from edgepose.engines import ENGINES, find_engine, usable_engine
from edgepose.engines.base import Engine, PinningEngine, TuningEngine
from edgepose.errors import BundleError, ConfigError, ProofError, UsageError
from edgepose.files import folder_atomic, sha256_bytes
from edgepose.fingerprint import fingerprint, package_version, source_hash
from edgepose.model_source import ModelSource, find_source
from edgepose.places import user_cache
from edgepose.prepare import GRAPH_TOOLS, Prepared, graph_key, prepare
from edgepose.prove.golden_data import load_golden, save_golden
from edgepose.prove.proof import Proof
from edgepose.provenance import git_commit
from edgepose.recipes import Recipe, load_recipe, recipe_for
from edgepose.rescue import can_rescue, rescue
from edgepose.runners.pack import RunnerProgram
from edgepose.targets import Target, load_target
from edgepose.verdicts import AUTO, fastest_recipe

_log = logging.getLogger(__name__)
_PENDING = Proof(
    passed=False,
    tensors=(),
    keypoints=None,
    failures=("not proven yet",),
    weights="untrained",
    where="nowhere",
)


def build(
    model: str,
    target: str = "host",
    recipe: str | None = None,
    weights: Path | str | None = None,
    into: Path | str | None = None,
    *,
    golden: Path | str | None = None,
    untrained: bool = False,
    force: bool = False,
    allow_unproven: bool = False,
) -> Bundle:
    """Make the proven bundle of ``model`` (a zoo name or an ONNX path) for ``target``.

    ``recipe`` may be ``auto``: the fastest, as the latest race says (``edgepose.verdicts``). By
    default it is the target's own, but what was tuned where the user tuned this net on a board.
    ``into`` defaults to ``build/<model>/<target>-<recipe>``; ``golden`` is a folder of the
    caller's own images. An unchanged build comes from the cache. Raises UsageError, BuildError
    and, where the outputs are not the model's, ProofError; nothing is half-written then.
    """
    hardware = load_target(target)
    source = find_source(model, Path(weights) if weights else None, untrained)
    images = Path(golden) if golden else None
    if recipe == AUTO:
        how = fastest_recipe(source, hardware, model)
    else:
        how = recipe_for(hardware, recipe or _tuned_recipe(source, hardware, images))
    engine = usable_engine(how.engine)
    max_opset = _max_opset(how, hardware)
    key_of_graph = graph_key(source, max_opset, images)
    runner = engine.runner(hardware)
    prepared, records = None, None
    if isinstance(engine, TuningEngine) and not how.on_gpu:  # records are found by the graph
        prepared = prepare(source, max_opset, images, key_of_graph, force)
        records = engine.records_key(prepared.graph_hash, hardware)
    build_key = _build_key(key_of_graph, hardware, how, engine, runner, records)
    place = Path(into) if into else Path("build") / source.spec.name / f"{target}-{how.name}"
    _refuse_foreign_folder(place)
    cached = user_cache() / "bundles" / build_key
    if not force:
        for candidate in (place, cached):
            found = _find_built(candidate, build_key)
            if found:
                _require_proof(found, allow_unproven)
                return found if candidate == place else _copy(found, place)

    _log.info("%s: preparing the graph and its golden outputs", source.spec.name)
    if prepared is None:
        prepared = prepare(source, max_opset, images, key_of_graph, force)
    with folder_atomic(cached) as folder:
        _compile(source, prepared, hardware, how, engine, runner, build_key, folder)
        _require_proof(load_bundle(folder), allow_unproven)
    return _copy(load_bundle(cached), place)


def _tuned_recipe(source: ModelSource, target: Target, images: Path | None) -> str | None:
    """The recipe that uses what the user tuned on a board, if there is such a thing."""
    for recipe in _readable_recipes(target):
        engine = find_engine(recipe.engine) if recipe.engine in ENGINES else None
        if not isinstance(engine, TuningEngine) or recipe.on_gpu or not engine.check().available:
            continue
        if not engine.tuned_on_board(source.spec.name, target):
            continue
        # That was a net of this name: whether it was this one, its graph tells.
        max_opset = _max_opset(recipe, target)
        key = graph_key(source, max_opset, images)
        graph_hash = prepare(source, max_opset, images, key, force=False).graph_hash
        if engine.has_board_records(graph_hash, target):
            _log.info("recipe %s: this net was tuned on such a board", recipe.name)
            return recipe.name
    return None


def _readable_recipes(target: Target) -> Iterator[Recipe]:
    """What ``target`` allows; what is broken or absent is left out with a notice."""
    for name in target.recipes.allowed:
        try:
            yield load_recipe(name)
        except (UsageError, ConfigError) as error:
            _log.warning("target %s allows recipe %s: %s", target.name, name, error)


def _max_opset(recipe: Recipe, target: Target) -> int:
    return min(recipe.max_opset, target.max_opset(recipe.engine) or recipe.max_opset)


def _compile(
    source: ModelSource,
    prepared: Prepared,
    target: Target,
    recipe: Recipe,
    engine: Engine,
    runner: RunnerProgram,
    build_key: str,
    folder: Path,
) -> None:
    """Fill ``folder`` with artifact, golden data, runner and manifest, then prove it."""
    _log.info("%s: compiling with %s", prepared.spec.name, recipe.name)
    artifact = engine.compile(prepared.graph, target, recipe, folder)
    cases = load_golden(prepared.golden, prepared.folder)
    (folder / runner.name).write_bytes(runner.content)
    (folder / runner.name).chmod(0o755)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        bundle_id="",
        build_key=build_key,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        edgepose_version=edgepose.__version__,
        git_commit=git_commit(),
        model=prepared.spec,
        weights=WeightsInfo(source.weights_name(), source.weights_sha256(), source.trained),
        target=target.name,
        recipe=recipe,
        toolchain=_toolchain(engine),
        opset=prepared.graph.opset,
        inputs=prepared.graph.inputs,
        outputs=prepared.graph.outputs,
        artifact=ArtifactInfo(artifact.files, dict(artifact.options), artifact.any_batch),
        golden=save_golden(cases, folder, "golden"),
        proof=_PENDING,
        files={},
        runner=runner.name,
        tuning=artifact.tuning,
    )
    seal(folder, manifest)
    _log.info("%s: proving on this host", prepared.spec.name)
    manifest = msgspec.structs.replace(manifest, proof=verify(load_bundle(folder)))
    seal(folder, manifest)
    bundle = load_bundle(folder)
    if not manifest.proof.passed and isinstance(engine, PinningEngine) and can_rescue(bundle):
        manifest = msgspec.structs.replace(manifest, rescue=rescue(bundle, artifact, engine))
        seal(folder, manifest)
        seal(folder, msgspec.structs.replace(manifest, proof=verify(load_bundle(folder))))


def _build_key(
    key_of_graph: str,
    target: Target,
    recipe: Recipe,
    engine: Engine,
    runner: RunnerProgram,
    records: str | None,
) -> str:
    return fingerprint(
        {
            "graph": key_of_graph,
            "target": target,
            "recipe": recipe,
            "toolchain": _toolchain(engine),
            "runner": sha256_bytes(runner.content),
            "records": records,
            "code": source_hash("engines", "prove", "rescue.py", "bundle.py", "build.py"),
        }
    )


def _toolchain(engine: Engine) -> dict[str, str]:
    tools = {name: package_version(name) for name in GRAPH_TOOLS}
    return {name: text for name, text in tools.items() if text} | dict(engine.check().versions)


def _find_built(folder: Path, build_key: str) -> Bundle | None:
    """The bundle in ``folder`` if it is whole and of this key; a damaged one is built anew."""
    if not (folder / MANIFEST).is_file():
        return None
    try:
        bundle = load_bundle(folder)
    except BundleError as error:
        _log.warning("%s; building it again", error)
        return None
    return bundle if bundle.manifest.build_key == build_key else None


def _require_proof(bundle: Bundle, allow_unproven: bool) -> None:
    manifest = bundle.manifest
    if manifest.proof.passed or allow_unproven:
        return
    tried, safer = "", ""
    if manifest.rescue and not manifest.rescue.pinned:
        tried = (
            f". Keeping single layers in FP32 was tried {manifest.rescue.tried} times in vain: "
            f"{manifest.rescue.note}"
        )
    if manifest.recipe.safer:
        safer = f", {' or '.join(manifest.recipe.safer)},"
    raise ProofError(
        f"{bundle.name} is not proven: {'; '.join(manifest.proof.failures)}{tried}",
        hint=f"Use a recipe of higher precision{safer} or --allow-unproven for a bundle marked so.",
    )


def _refuse_foreign_folder(place: Path) -> None:
    """Only a bundle, or nothing, may be replaced by a bundle."""
    occupied = place.is_dir() and any(place.iterdir()) and not (place / MANIFEST).is_file()
    if occupied or (place.exists() and not place.is_dir()):
        raise UsageError(
            f"{place} exists and is not a bundle, so it is not replaced",
            hint="Choose another folder with -o, or empty this one.",
        )


def _copy(bundle: Bundle, place: Path) -> Bundle:
    with folder_atomic(place) as folder:
        shutil.copytree(bundle.folder, folder, dirs_exist_ok=True)
    return Bundle(place, bundle.manifest)
