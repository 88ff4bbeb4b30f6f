"""Small annotation files in the formats of the data sets, to be spoilt."""

import json
from pathlib import Path
from typing import Any

JSON = Any


def save(path: Path, content: JSON) -> Path:
    path.write_text(json.dumps(content))
    return path


def coco(count: int = 17, **annotation: JSON) -> JSON:
    """Two images, one person in the first; ``annotation`` replaces or adds fields of hers."""
    return {
        "images": [
            {"id": 1, "file_name": "one.jpg", "width": 64, "height": 48},
            {"id": 2, "file_name": "two.jpg", "width": 64, "height": 48},
        ],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {
                "id": 7,
                "image_id": 1,
                "category_id": 1,
                "bbox": [10, 5, 20, 40],
                "area": 500.0,
                "iscrowd": 0,
                "num_keypoints": count,
                "keypoints": [20, 20, 2] * count,
                **annotation,
            }
        ],
    }


def without(content: JSON, field: str, part: str = "annotations") -> JSON:
    del content[part][0][field]
    return content


def mpii(**entry: JSON) -> JSON:
    return [
        {
            "image": "one.jpg",
            "center": [320.0, 220.0],
            "scale": 2.0,
            "joints": [[100.0 + joint, 50.0] for joint in range(16)],
            "joints_vis": [1] * 15 + [0],
            "head_box": [300, 100, 330, 140],
            **entry,
        }
    ]
