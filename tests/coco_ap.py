"""AP of a pose net on the four reference photographs, whatever runs the net."""

import contextlib
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from edgepose.pose.decode import Keypoints, decode
from edgepose.pose.preprocess import prepare, read_image
from edgepose.zoo import ModelSpec

Run = Callable[[NDArray[np.float32]], Sequence[NDArray[np.float32]]]


def persons(shared_data: Path) -> list[tuple[Path, int, list[float]]]:
    """Image file, image id and box xyxy of each of the 12 persons with key points."""
    truth = json.loads((shared_data / "images" / "test_coco.json").read_text())
    files = {image["id"]: image["file_name"] for image in truth["images"]}
    return [
        (
            shared_data / "images" / files[person["image_id"]],
            person["image_id"],
            [x, y, x + w, y + h],
        )
        for person in truth["annotations"]
        for x, y, w, h in [person["bbox"]]
        if person["num_keypoints"]
    ]


def coco_ap(shared_data: Path, run: Run, spec: ModelSpec) -> float:
    """AP (0..1) of a top-down net of COCO's 17 points, with ground-truth boxes, without flip.

    ``run`` maps the input float32 [1, 3, h, w] to the outputs in the order of ``spec.outputs``.
    """
    assert spec.input is not None
    results = []
    for path, image_id, box in persons(shared_data):
        tensor, placement = prepare(read_image(path), spec.input, box)
        found = decode(spec, dict(zip(spec.outputs, run(tensor), strict=True)))
        assert isinstance(found, Keypoints)
        points = np.column_stack([placement.to_image(found.points), found.scores])
        results.append(
            {
                "image_id": image_id,
                "category_id": 1,
                "keypoints": points.ravel().tolist(),
                "score": float(found.scores.mean()),
            }
        )
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(shared_data / "images" / "test_coco.json"))
        evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])
