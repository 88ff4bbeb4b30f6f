"""What each stage of the pipeline costs on a device: bundles proven there, then fresh processes."""

import secrets
import time
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

import edgepose
from edgepose.bench.place import CALL_S, Place, at_station, require_target, settle
from edgepose.bench.runs import PROOF_S, Proven, proven_there
from edgepose.bench.stage_budget import StageBudget, Timed, Way, notes_on, stage_figures
from edgepose.bench.stage_program import DETECTOR, POSE
from edgepose.bench.stages_in_python import Film, require_python, time_in_python
from edgepose.bench.stages_natively import time_natively
from edgepose.bench.store import default_folder
from edgepose.bundle import Bundle
from edgepose.devices.device import Device
from edgepose.devices.inventory import find_device
from edgepose.errors import UsageError
from edgepose.files import write_atomic
from edgepose.pose.preprocess import read_image
from edgepose.prove.golden_images import ONE_PERSON, TWO_PERSONS
from edgepose.recipes import fallback
from edgepose.runners.pack import PYTHON_RUNNER

DEFAULT_FRAMES = 50


def stage_budget(
    pose: Bundle,
    device: str = "local",
    detector: Bundle | None = None,
    *,
    picture: Path | None = None,
    detect_every: int = 1,
    threads: int | None = None,
    frames: int = DEFAULT_FRAMES,
    folder: Path | None = None,
) -> tuple[StageBudget, Path]:
    """Time the stages on ``device`` in fresh processes of ``frames`` frames, and keep the budget.

    ``picture`` is an image file; without it a shipped one of two persons, or of one for a top-down
    net without a detector. Returns the budget and its file, in ``profiles`` below the records'
    folder, or ``folder``. Raises UsageError, DeviceError, LeaseError, ProofError and RunError.
    """
    entry = find_device(device)
    parts = {POSE: pose} | ({DETECTOR: detector} if detector else {})
    _require_parts(pose, detector)
    for bundle in parts.values():
        require_target(bundle, entry)
    film = Film(picture or _shipped(pose, detector), detect_every, frames)
    way = _way(parts.values(), entry)
    if way == "native" and (picture or detect_every > 1):
        raise UsageError(
            f"on {device} network and decoding are timed, by the C++ runner and on the first "
            "golden input",
            hint="Leave out --image and --detect-every.",
        )
    if picture:
        read_image(picture)  # what is wrong with it is told by its name here
    with at_station(entry, PROOF_S + CALL_S, f"time the stages of {pose.name}") as station:
        places = {part: settle(bundle, station, threads) for part, bundle in parts.items()}
        if way == "python":
            require_python(places)
        proven = {part: proven_there(place) for part, place in places.items()}
        timed = (
            time_in_python(places, proven, film)
            if way == "python"
            else time_natively(places, proven, frames)
        )
    found = _budget(places, proven, way, detect_every, timed)
    stamp = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
    name = f"{found.bundle_id}-{device}-{stamp}-stages.json"
    path = (folder or default_folder() / "profiles") / name
    write_atomic(path, msgspec.json.format(msgspec.json.encode(found), indent=1))
    return found, path


def _require_parts(pose: Bundle, detector: Bundle | None) -> None:
    """Raise UsageError for nets that are no pipeline."""
    for bundle, tasks in ((pose, ("top-down", "bottom-up")), (detector, ("detection",))):
        if bundle and bundle.manifest.model.task not in tasks:
            raise UsageError(
                f"{bundle.name} is a net for {bundle.manifest.model.task}, "
                f"not for {' or '.join(tasks)}",
                hint="Name the pose net's bundle first, and a detector's after --detector.",
            )
        if bundle and bundle.manifest.model.decoder is None:
            raise UsageError(
                f"{bundle.name} has no decoder: there is nothing to time after the net",
                hint="Describe it in the TOML file beside the ONNX file, and build it again.",
            )
        if bundle and len(bundle.manifest.inputs) != 1:
            raise UsageError(
                f"{bundle.name} has {len(bundle.manifest.inputs)} inputs, a pipeline gives it one",
                hint="`edgepose profile` without --stages times its layers.",
            )
    if detector and pose.manifest.model.task == "bottom-up":
        raise UsageError(
            f"{pose.name} is a bottom-up net, which needs no detector", hint="Leave it out."
        )


def _way(bundles: Collection[Bundle], device: Device) -> Way:
    """An executable runs where no Python need be; this machine has both.

    Raises UsageError where one net of a pair would have to go another way than the other.
    """
    native = {bundle.manifest.runner != PYTHON_RUNNER for bundle in bundles}
    if device.transport == "local" or native == {False}:
        return "python"
    if len(native) > 1:
        raise UsageError(
            f"pose net and detector have runners of two kinds, which {device.name} cannot time "
            "together",
            hint="Build both with ncnn or tvm, or both with onnxruntime or openvino.",
        )
    return "native"


def _shipped(pose: Bundle, detector: Bundle | None) -> Path:
    is_single = pose.manifest.model.task == "top-down" and not detector
    return ONE_PERSON if is_single else TWO_PERSONS


def _fallbacks(places: Mapping[str, Place], proven: Mapping[str, Proven]) -> Iterator[str]:
    for part, place in places.items():
        manifest = place.bundle.manifest
        other = fallback(manifest.recipe.precision, proven[part].computed_in)
        if other:
            yield f"fallback: {manifest.model.name}: {other}"


def _budget(
    places: Mapping[str, Place],
    proven: Mapping[str, Proven],
    way: Way,
    detect_every: int,
    timed: Timed,
) -> StageBudget:
    place = places[POSE]
    manifest = place.bundle.manifest
    detector = places[DETECTOR].bundle.manifest if DETECTOR in places else None
    manifests = (one.bundle.manifest for one in places.values())
    untrained = [one.model.name for one in manifests if not one.weights.trained]
    stages, total = stage_figures(timed.processes)
    return StageBudget(
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        edgepose_version=edgepose.__version__,
        model=manifest.model.name,
        target=manifest.target,
        recipe=manifest.recipe.name,
        engine=manifest.recipe.engine,
        bundle_id=manifest.bundle_id,
        detector=detector.model.name if detector else None,
        detector_bundle_id=detector.bundle_id if detector else None,
        device=place.device.name,
        emulated=place.device.emulated,
        way=way,
        threads=place.threads,
        cpus=timed.cpus,
        detect_every=detect_every,
        picture=timed.picture,
        picture_sha256=timed.picture_sha256,
        runtime_versions=timed.versions,
        proof=proven[POSE].proof,
        detector_proof=proven[DETECTOR].proof if detector else None,
        processes=timed.processes,
        stages=stages,
        total=total,
        notes=(*_fallbacks(places, proven), *notes_on(timed.processes, untrained)),
    )
