"""Preprocessing and decoding of real nets on real photographs."""

from collections import defaultdict
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgepose.pose.decode import Boxes, decode
from edgepose.pose.nms import box_iou
from edgepose.pose.preprocess import prepare, read_image
from edgepose.zoo import HeatmapDecoder
from tests.coco_ap import coco_ap, persons
from tests.trained_model import trained_model


@pytest.mark.parametrize(
    ("name", "reference", "least"),
    [("tinypose-256x192", 0.840, 0.82), ("tinypose-128x96", 0.643, 0.62)],
)
def test_tinypose_reaches_its_average_precision(
    shared_data: Path, name: str, reference: float, least: float
) -> None:
    spec, run = trained_model(shared_data, name)
    ap = coco_ap(shared_data, run, spec)
    assert ap >= least
    assert ap == pytest.approx(reference, abs=0.02)


def test_refinement_of_heatmaps_pays_in_average_precision(shared_data: Path) -> None:
    spec, run = trained_model(shared_data, "tinypose-256x192")
    plain, quarter = (
        coco_ap(shared_data, run, msgspec.structs.replace(spec, decoder=decoder))
        for decoder in (HeatmapDecoder(refine="none"), HeatmapDecoder(refine="quarter"))
    )
    assert plain + 0.02 < quarter < coco_ap(shared_data, run, spec)


def test_rtmdet_finds_all_persons(shared_data: Path) -> None:
    spec, run = trained_model(shared_data, "rtmdet-nano")
    assert spec.input is not None
    boxes = defaultdict(list)
    for path, _, box in persons(shared_data):
        boxes[path].append(box)
    overlaps: list[float] = []
    detections = 0
    for path, truth in boxes.items():
        tensor, placement = prepare(read_image(path), spec.input)
        found = decode(spec, dict(zip(spec.outputs, run(tensor), strict=True)))
        assert isinstance(found, Boxes)
        assert (found.scores > 0.3).all()
        in_image = placement.to_image(found.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
        overlaps += box_iou(np.array(truth), in_image).max(axis=1).tolist()
        detections += len(in_image)
    assert len(overlaps) == 12
    assert min(overlaps) > 0.75
    assert np.mean(overlaps) == pytest.approx(0.894, abs=0.01)
    assert detections == 15
