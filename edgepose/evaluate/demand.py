"""What is to be evaluated, and whether it fits: a bundle, a data set's files, settings."""

import logging
from dataclasses import dataclass
from pathlib import Path

from edgepose.bundle import Bundle
from edgepose.errors import UsageError
from edgepose.evaluate.annotations import read_annotations
from edgepose.evaluate.datasets import DataSet, dataset
from edgepose.evaluate.found_boxes import Given, read_detections, true_boxes
from edgepose.evaluate.record import BoxSource
from edgepose.evaluate.truth import Annotated, Truth
from edgepose.zoo import ModelSpec

_log = logging.getLogger(__name__)
_MANY = 5  # names in an error


@dataclass(frozen=True, kw_only=True)
class Demand:
    """A top-down net takes its boxes from the file ``detections``, or from ``detector``, or else
    from the annotations. ``limit`` takes the first images only; ``threads`` None is the place's own
    choice.
    """

    bundle: Bundle
    dataset: str
    images: Path
    annotations: Path
    detections: Path | None = None
    detector: Bundle | None = None
    flip: bool = False
    limit: int | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Work:
    """The annotations to score against, and the boxes to look into.

    ``given`` is None where nobody gives any; ``boxes`` tells where they come from.
    """

    truth: Truth
    partial: bool
    boxes: BoxSource
    boxes_sha256: str | None
    given: Given | None

    def to_see(self) -> tuple[Annotated, ...]:
        """The images that a net must see: where no box is given there is nothing to find."""
        if self.given is None:
            return self.truth.images
        return tuple(image for image in self.truth.images if image.image_id in self.given)


def work_for(demand: Demand) -> Work:
    """Read the files. Raises UsageError for what does not fit together, or images that are missing.

    ConfigError (one of them) is for files that do not say what they must.
    """
    chosen = dataset(demand.dataset)
    _require_fit(demand, chosen)
    whole = read_annotations(demand.annotations, chosen)
    truth = whole.first(demand.limit)
    kind, sha256, given = _boxes(demand, truth)
    work = Work(truth, len(truth.images) < len(whole.images), kind, sha256, given)
    _require_images(demand.images, work.to_see())
    return work


def _boxes(demand: Demand, truth: Truth) -> tuple[BoxSource, str | None, Given | None]:
    if demand.bundle.manifest.model.task == "bottom-up":
        return "none", None, None
    if demand.detector:
        return "detector", None, None
    if demand.detections:
        given, sha256 = read_detections(demand.detections, truth)
        return "detections", sha256, given
    return "truth", None, true_boxes(truth)


def _require_fit(demand: Demand, chosen: DataSet) -> None:
    spec = demand.bundle.manifest.model
    _require_pose_net(spec, chosen)
    bottom_up = spec.task == "bottom-up"
    if demand.detector and demand.detections:
        raise UsageError("boxes come from a file or from a detector, not from both")
    if bottom_up and (demand.detector or demand.detections):
        raise UsageError(
            f"{spec.name} finds people by itself: it takes no boxes",
            hint="Leave --detections and --detector out.",
        )
    if demand.detector and demand.detector.manifest.model.task != "detection":
        name = demand.detector.manifest.model.name
        raise UsageError(f"{name} is no detector", hint="Give one, such as rtmdet-nano.")
    if chosen.name in ("mpii", "ap10k") and (bottom_up or demand.detector or demand.detections):
        why = {
            "mpii": "PCKh asks for each annotated person where their key points are",
            "ap10k": "AP-10K counts by species, which boxes of persons do not tell",
        }[chosen.name]
        raise UsageError(
            f"{chosen.title} is scored with annotated boxes only: {why}",
            hint="Use a top-down net, without --detections and --detector.",
        )


def _require_pose_net(spec: ModelSpec, chosen: DataSet) -> None:
    if spec.task not in ("top-down", "bottom-up"):
        raise UsageError(
            f"{spec.name} finds no key points (its task is {spec.task}), so it has none to score",
            hint="Name a pose net, and this one with --detector if it is a detector.",
        )
    if spec.decoder is None or spec.input is None:
        raise UsageError(
            f"model {spec.name!r} does not say how its outputs are decoded",
            hint="Put a TOML file with [input] and [decoder] beside the ONNX file.",
        )
    if spec.keypoints != chosen.keypoints:
        raise UsageError(
            f"{spec.name} has {spec.keypoints} key points, {chosen.title} has {chosen.keypoints}",
            hint=f"Choose a model of {chosen.title}: `edgepose models`.",
        )
    if spec.dataset and spec.dataset != chosen.name:
        _log.warning(
            "warning: %s is a model of %s, whose points need not be those of %s",
            *(spec.name, spec.dataset, chosen.name),
        )


def _require_images(folder: Path, images: tuple[Annotated, ...]) -> None:
    """Before the first inference: a figure without all of its images would be another figure."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", hint="Give the folder of the images.")
    names = dict.fromkeys(image.file_name for image in images)
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        more = f" and {len(missing) - _MANY} more" if len(missing) > _MANY else ""
        raise UsageError(
            f"{len(missing)} of {len(names)} images are missing in {folder}: "
            f"{', '.join(missing[:_MANY])}{more}",
            hint="Give the folder that the annotations' file names are relative to.",
        )
