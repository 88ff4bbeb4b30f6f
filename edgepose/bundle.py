"""Bundles: a folder that any board can run and re-prove; its manifest names every byte in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edgepose.config import load_json
from edgepose.engines import usable_engine
from edgepose.engines.base import Artifact, Session, Tuning
from edgepose.errors import BundleError, ConfigError
from edgepose.files import sha256_bytes, sha256_file, write_atomic
from edgepose.graph.spec import TensorSpec
from edgepose.prove.golden_data import Golden, load_golden
from edgepose.prove.judge import judge
from edgepose.prove.on_host import outputs_on_host, way_to_prove
from edgepose.prove.proof import Proof
from edgepose.prove.rescue import Rescue
from edgepose.recipes import Recipe
from edgepose.runners.pack import PYTHON_RUNNER
from edgepose.runners.plan import GoldenPaths, Plan
from edgepose.targets import load_target
from edgepose.zoo import ModelSpec

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"


class WeightsInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the weights came from; ``sha256`` is None for seeded ones."""

    source: str
    sha256: str | None
    trained: bool


class ArtifactInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The engine's files and load options; see ``engines.base.Artifact``."""

    files: tuple[str, ...]
    options: dict[str, Any]
    any_batch: bool = False


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``manifest.json``. All paths are relative to the bundle's folder.

    ``rescue`` tells which layers were pinned to single precision, or what was tried in vain; it is
    None where the first proof passed. ``tuning`` is None for an engine that does not tune.
    """

    schema_version: int
    bundle_id: str
    build_key: str
    created_at: str
    edgepose_version: str
    git_commit: str | None
    model: ModelSpec
    weights: WeightsInfo
    target: str
    recipe: Recipe
    toolchain: dict[str, str]
    opset: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    artifact: ArtifactInfo
    golden: tuple[GoldenPaths, ...]
    proof: Proof
    files: dict[str, str]
    runner: str = PYTHON_RUNNER
    rescue: Rescue | None = None
    tuning: Tuning | None = None


@dataclass(frozen=True)
class Bundle:
    """A bundle on this host whose files were all found with their right hashes."""

    folder: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        return (
            f"{self.manifest.model.name} for {self.manifest.target} ({self.manifest.recipe.name})"
        )

    def golden(self) -> list[Golden]:
        return load_golden(self.manifest.golden, self.folder)

    def session(self, threads: int = 1) -> Session:
        """Load the artifact on this host. Raises ToolchainError where its runtime is missing."""
        manifest = self.manifest
        artifact = Artifact(
            folder=self.folder,
            files=manifest.artifact.files,
            options=manifest.artifact.options,
            inputs=manifest.inputs,
            outputs=manifest.outputs,
            any_batch=manifest.artifact.any_batch,
        )
        return usable_engine(manifest.recipe.engine).load(artifact, threads)


def seal(folder: Path, manifest: Manifest) -> None:
    """Hash every file in ``folder`` and write the manifest, its own id included."""
    found = (path for path in folder.rglob("*") if path.is_file())
    paths = sorted(path for path in found if path != folder / MANIFEST)
    files = {path.relative_to(folder).as_posix(): sha256_file(path) for path in paths}
    sealed = msgspec.structs.replace(manifest, files=files)
    identity = _identify(msgspec.json.encode(sealed))
    sealed = msgspec.structs.replace(sealed, bundle_id=identity)
    write_atomic(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(sealed), indent=1))


def load_bundle(folder: Path | str) -> Bundle:
    """Read a bundle and re-hash all of it.

    Raises BundleError for anything missing, altered, or of another schema.
    """
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise BundleError(
            f"{folder} is not a bundle: it has no {MANIFEST}", hint="Make one: `edgepose build`."
        )
    rebuild = "Build it again with `edgepose build … --force`."
    manifest = _read_manifest(folder / MANIFEST, rebuild)
    for name, digest in manifest.files.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise BundleError(f"bundle {folder}: the path {name!r} leads out of it", hint=rebuild)
        if not path.is_file():
            raise BundleError(f"bundle {folder}: the file {name} is missing", hint=rebuild)
        if sha256_file(path) != digest:
            raise BundleError(
                f"bundle {folder}: the file {name} is corrupt or truncated "
                f"({path.stat().st_size} bytes; its sha256 is not the manifest's)",
                hint=rebuild,
            )
    for name in sorted(_named(manifest) - set(manifest.files)):
        raise BundleError(
            f"bundle {folder}: its manifest names {name!r}, which is none of its files",
            hint=rebuild,
        )
    return Bundle(folder, manifest)


def _named(manifest: Manifest) -> set[str]:
    """Every file that the manifest speaks of."""
    golden = (paths for case in manifest.golden for paths in (case.inputs, case.outputs))
    tensors = (name for paths in golden for name in paths.values())
    return {manifest.runner, *manifest.artifact.files, *tensors}


def verify(bundle: Bundle) -> Proof:
    """Prove a loaded bundle again on this host, from its own golden data.

    A runner for another CPU is emulated where half-precision arithmetic is to be seen, which this
    host's CPU would hide; else this host's own ncnn stands in for it.
    """
    folder, manifest = bundle.folder, bundle.manifest

    def at(name: str) -> str:
        return str(folder / name)

    plan = make_plan(manifest, "prove", "verify", {name: at(name) for name in manifest.files})
    way = way_to_prove(folder / manifest.runner, load_target(manifest.target), manifest.recipe)
    outputs = outputs_on_host(plan, way.command, manifest.recipe.precision)
    return judge_bundle(bundle, outputs, where=way.where)


def judge_bundle(bundle: Bundle, outputs: Any, *, where: str) -> Proof:
    """The proof of ``outputs`` (by case, by tensor) against the bundle's golden data and gates."""
    manifest = bundle.manifest
    return judge(
        manifest.model,
        bundle.golden(),
        outputs,
        manifest.recipe.gates,
        trained=manifest.weights.trained,
        where=where,
    )


def make_plan(
    manifest: Manifest,
    mode: Any,
    run_id: str,
    paths: dict[str, str],
    *,
    sent: Mapping[str, str] | None = None,
    **settings: Any,
) -> Plan:
    """A plan for the bundle's files at ``paths`` (name → path where the runner runs).

    A name there that is none of the bundle's files is what the device made of them. ``sent`` are
    the hashes of files, by their paths there, that are for this run alone.
    """
    made_there = {name: path for name, path in paths.items() if name not in manifest.files}
    # Half precision is known to give NaN now and then only; bf16 has the range of FP32.
    repeats = 2 if mode == "prove" and manifest.recipe.precision == "fp16" else 1
    settings = {"threads": 1, "cpus": None, "repeats": repeats, **settings}
    gate = manifest.recipe.gates.tensor
    needed = _needed(manifest, mode)
    return Plan(
        run_id=run_id,
        mode=mode,
        engine=manifest.recipe.engine,
        artifact={name: paths[name] for name in manifest.artifact.files} | made_there,
        options=manifest.artifact.options,
        inputs=manifest.inputs,
        outputs=manifest.outputs,
        golden=tuple(
            GoldenPaths(
                case.name,
                {tensor: paths[name] for tensor, name in case.inputs.items()},
                {tensor: paths[name] for tensor, name in case.outputs.items()},
            )
            for case in manifest.golden
        ),
        sha256={paths[name]: manifest.files[name] for name in sorted(needed)} | dict(sent or {}),
        gate={name: getattr(gate, name) for name in gate.__struct_fields__},
        **settings,
    )


def _needed(manifest: Manifest, mode: str) -> set[str]:
    """The files that a run of ``mode`` reads: hashing more would only delay its start."""
    needed = set(manifest.artifact.files)
    if mode == "infer":
        return needed
    if mode in ("time", "profile"):
        return needed | set(manifest.golden[0].inputs.values())
    for case in manifest.golden:
        needed |= {*case.inputs.values(), *case.outputs.values()}
    return needed


def _read_manifest(path: Path, hint: str) -> Manifest:
    try:
        version = load_json(path, dict).get("schema_version")
        if version != SCHEMA_VERSION:
            raise BundleError(
                f"{path}: schema version {version!r}, this edgepose reads {SCHEMA_VERSION}",
                hint=hint,
            )
        manifest = load_json(path, Manifest)
    except ConfigError as error:
        raise BundleError(str(error), hint=hint) from None
    if manifest.bundle_id != _identify(path.read_bytes()):
        raise BundleError(f"{path} was altered after it was written", hint=hint)
    return manifest


def _identify(manifest: bytes) -> str:
    """Hash of everything in the manifest but the id itself and the time of writing.

    Of the text as it was written: a field that came later does not change an older bundle's id.
    """
    bare = msgspec.json.decode(manifest, type=dict) | {"bundle_id": "", "created_at": ""}
    return sha256_bytes(msgspec.json.encode(bare))[:16]
