"""Evaluations for tests, alike but for what a test says."""

from typing import Any

from edgepose.evaluate.record import Evaluation


def evaluation(evaluation_id: str = "e1", **changes: Any) -> Evaluation:
    return Evaluation(
        **{
            "evaluation_id": evaluation_id,
            "created_at": "2026-01-01T00:00:00+00:00",
            "edgepose_version": "0.1.0",
            "git_commit": None,
            "bundle_id": "b1",
            "model": "litepose-xs",
            "target": "rpi4",
            "recipe": "onnxruntime-fp32",
            "engine": "onnxruntime",
            "precision": "fp32",
            "trained": True,
            "device": None,
            "emulated": False,
            "threads": None,
            "dataset": "coco",
            "flip": False,
            "boxes": "none",
            "boxes_sha256": None,
            "detector": None,
            "detector_bundle_id": None,
            "annotations_sha256": "0" * 64,
            "images_sha256": "0" * 64,
            "images": 5000,
            "partial": False,
            "people": 11004,
            "found": 20000,
            "metric": "AP",
            "value": 0.4056,
            "scores": {"all": {"AP": 0.4056, "AP M": None}},
            "versions": {"numpy": "2.4.6"},
            **changes,
        }
    )
