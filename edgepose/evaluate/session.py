"""One evaluation from files to record: resume, predict, score."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import edgepose
from edgepose.devices.inventory import find_device
from edgepose.engines.base import Session
from edgepose.evaluate.datasets import DataSet
from edgepose.evaluate.demand import Demand, Work, work_for
from edgepose.evaluate.found_boxes import GivenBoxes
from edgepose.evaluate.journal import Found, Journal
from edgepose.evaluate.oks_score import require_evaluator, score_oks
from edgepose.evaluate.pckh import score_pckh
from edgepose.evaluate.predictor import NetPredictor, Picture, Predictor
from edgepose.evaluate.progress import Progress, Watch
from edgepose.evaluate.record import Evaluation
from edgepose.evaluate.truth import Annotated
from edgepose.files import sha256_bytes, sha256_file
from edgepose.fingerprint import fingerprint, package_version, source_hash
from edgepose.places import user_cache
from edgepose.pose.nets import BottomUp, Detector, TopDown
from edgepose.pose.preprocess import decode_image, image_bytes
from edgepose.provenance import git_commit
from edgepose.recipes import fallback

_log = logging.getLogger(__name__)
# What a net finds may depend on them; the scores, on the evaluator too.
_STANDS_ON = ("numpy", "opencv-python-headless")
_RUNTIMES = ("onnxruntime", "openvino", "ncnn")
_EVALUATOR = "faster-coco-eval"


@dataclass(frozen=True)
class Site:
    """Where the pose net runs: ``session`` is entered once, if there is anything left to run.

    ``device`` is None for this process; ``emulated`` is the device's.
    """

    device: str | None
    session: Callable[[], AbstractContextManager[Session]]
    emulated: bool = False


def this_process(demand: Demand) -> Site:
    return Site(None, lambda: nullcontext(demand.bundle.session(demand.threads or 1)))


def on_a_device(demand: Demand, device: str) -> Site:
    """A device of the user's: inputs go there in batches, and the bundle is proven there first."""
    from edgepose.evaluate.on_device import session_on_device

    emulated = find_device(device).emulated
    return Site(
        device, lambda: session_on_device(demand.bundle, device, threads=demand.threads), emulated
    )


def evaluate(
    demand: Demand, site: Site | None = None, watch: Callable[[Progress], None] | None = None
) -> Evaluation:
    """Run the bundle on the annotated images and score what it finds.

    What was found in each image is written down at once, in the user's cache: the same call goes
    on where a killed one stopped. ``watch`` is told after each image. Raises UsageError and
    ConfigError for what cannot be evaluated, ToolchainError where the evaluator is missing.
    """
    site = site or this_process(demand)
    require_evaluator()
    work = work_for(demand)
    with Journal.opened(_journal_path(demand, work, site)) as journal:
        found = _find(demand, work, journal, site, watch)
    return _record(demand, work, site, found)


def _find(
    demand: Demand,
    work: Work,
    journal: Journal,
    site: Site,
    watch: Callable[[Progress], None] | None,
) -> dict[int, Found]:
    """The results of every image that is to be seen, by its id."""
    images = work.to_see()
    found = {
        image.image_id: known
        for image in images
        if (known := journal.known.get(image.image_id))
        and known.image_sha256 == sha256_file(demand.images / image.file_name)
    }
    left = [image for image in images if image.image_id not in found]
    told = Watch(len(images), len(found), watch)
    if not left:
        return found
    hashes: list[str] = []

    def pictures() -> Iterator[Picture]:
        for image in left:
            path = demand.images / image.file_name
            content = image_bytes(path)
            hashes.append(sha256_bytes(content))
            pixels = decode_image(content, path)
            yield Picture(pixels, _given(work, image, (pixels.shape[0], pixels.shape[1])))

    with site.session() as session:
        predictor = _predictor(demand, work.truth.dataset, session)
        computed_in = getattr(session, "computed_in", None)
        other = fallback(demand.bundle.manifest.recipe.precision, computed_in)
        if other and site.device:  # in this process, the engine has told
            _log.warning("on %s %s", site.device, other)
        for index, results in enumerate(predictor.predict(pictures())):
            line = Found(left[index].image_id, hashes[index], results, computed_in)
            journal.add(line)
            found[line.image_id] = line
            told.one_more()
    return found


def _given(work: Work, image: Annotated, size: tuple[int, int]) -> GivenBoxes | None:
    if work.given is None:
        return None
    given = work.given[image.image_id]
    cut = work.boxes == "truth" and work.truth.dataset.metric == "oks"
    return given.within(*size) if cut else given


def _predictor(demand: Demand, dataset: DataSet, session: Session) -> Predictor:
    """The detector, if any, runs in this process: boxes are the same wherever the pose net is.

    People of bottom-up nets are grouped as by the original code, with which figures are compared.
    """
    detector = None
    if demand.detector:
        detector = Detector.from_bundle(demand.detector, demand.threads or 1)
    model, tensor = demand.bundle.manifest.model, demand.bundle.manifest.inputs[0]
    net: TopDown | BottomUp
    if model.task == "bottom-up":
        net = BottomUp(
            *(model, session),
            exact=True,
            flip=demand.flip,
            input_name=tensor.name,
            batch=tensor.shape[0],
        )
    else:
        net = TopDown(
            *(model, session), flip=demand.flip, input_name=tensor.name, batch=tensor.shape[0]
        )
    return NetPredictor(net, session, tensor.name, dataset, detector)


def _journal_path(demand: Demand, work: Work, site: Site) -> Path:
    """One file per bundle, data and settings. Another ``limit`` shares it: images are the same."""
    key = fingerprint(
        {
            "bundle": demand.bundle.manifest.bundle_id,
            "detector": demand.detector.manifest.bundle_id if demand.detector else None,
            "dataset": demand.dataset,
            "annotations": work.truth.sha256,
            "boxes": [work.boxes, work.boxes_sha256],
            "images": str(demand.images.resolve()),
            "settings": [demand.flip, demand.threads, site.device],
            "code": source_hash("pose", "evaluate"),
            "versions": _versions(*_STANDS_ON, *_RUNTIMES),
        }
    )
    return user_cache() / "evaluations" / f"{key}.jsonl"


def _record(demand: Demand, work: Work, site: Site, found: dict[int, Found]) -> Evaluation:
    manifest, dataset = demand.bundle.manifest, work.truth.dataset
    results = {image_id: each.results for image_id, each in found.items()}
    if dataset.metric == "pckh":
        scores = score_pckh(work.truth, results)
        metric, value = "PCKh@0.5", scores["PCKh@0.5"]["mean"]
    else:
        scores = score_oks(work.truth, results)
        metric, value = "AP", scores["all"]["AP"]
    detector = demand.detector.manifest if demand.detector else None
    names = {image.image_id: image.file_name for image in work.truth.images}
    listing = sorted(f"{names[key]} {each.image_sha256}" for key, each in found.items())
    return Evaluation(
        evaluation_id=uuid4().hex[:16],
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        edgepose_version=edgepose.__version__,
        git_commit=git_commit(),
        bundle_id=manifest.bundle_id,
        model=manifest.model.name,
        target=manifest.target,
        recipe=manifest.recipe.name,
        engine=manifest.recipe.engine,
        precision=manifest.recipe.precision,
        computed_in=_common(each.computed_in for each in found.values()),
        trained=manifest.weights.trained,
        device=site.device,
        emulated=site.emulated,
        threads=demand.threads,
        dataset=dataset.name,
        flip=demand.flip,
        boxes=work.boxes,
        boxes_sha256=work.boxes_sha256,
        detector=detector.model.name if detector else None,
        detector_bundle_id=detector.bundle_id if detector else None,
        annotations_sha256=work.truth.sha256,
        images_sha256=sha256_bytes("\n".join(listing).encode()),
        images=len(work.truth.images),
        partial=work.partial,
        people=sum(person.is_target for person in work.truth.people),
        found=sum(map(len, results.values())),
        metric=metric,
        value=value,
        scores=scores,
        # Another device's runtime is not this host's.
        versions=_versions(_EVALUATOR, *_STANDS_ON, *(() if site.device else _RUNTIMES)),
    )


def _common(values: Iterable[str | None]) -> str | None:
    """What they all are; None where they differ."""
    different = set(values)
    return different.pop() if len(different) == 1 else None


def _versions(*packages: str) -> dict[str, str]:
    """Of those that are installed here."""
    return {name: version for name in packages if (version := package_version(name))}
