"""MPII's annotations: the JSON list of the HRNet and mmpose projects, with sizes of heads.

A size of a head is 0.6 of the diagonal of its annotated box. The JSON list has no such boxes: they
come from a field ``head_box`` (x1, y1, x2, y2) of each entry, or from the ``.mat`` file of the same
projects that lies beside (``mpii_gt_val.mat`` beside ``mpii_val.json``).
"""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose.errors import ConfigError, ToolchainError
from edgepose.evaluate.coco_file import PERSON
from edgepose.evaluate.datasets import DataSet
from edgepose.evaluate.json_file import Entry, read_json
from edgepose.evaluate.truth import Annotated, TruePerson, Truth

_HEAD_SHARE = 0.6  # of the box's diagonal (the data set's own evaluation calls it SC_BIAS)
_SCALE_PX = 200.0  # the unit of ``scale``
_LOWER_PX = 15.0  # how far below its centre, per unit of scale, a person is cropped


def read_mpii(path: Path, dataset: DataSet) -> Truth:
    """Read MPII's JSON list. Raises ConfigError, and ToolchainError without scipy."""
    entries, sha256 = read_json(path)
    hint = "Give mpii_val.json of the HRNet or mmpose project; see docs/evaluation.md."
    if not isinstance(entries, list):
        raise ConfigError(f"{path} is not MPII's list of persons", hint=hint)
    if not entries:
        raise ConfigError(f"{path}: nothing is annotated in it", hint=hint)
    listed = [Entry(path, "entry", index, each) for index, each in enumerate(entries)]
    names = [str(entry.value("image", hint)) for entry in listed]
    images = {name: Annotated(number, name) for number, name in enumerate(dict.fromkeys(names), 1)}
    heads = _heads(path, listed)
    people = [
        _person(entry, images[name].image_id, dataset, head, hint)
        for entry, name, head in zip(listed, names, heads, strict=True)
    ]
    return Truth(dataset, sha256, tuple(images.values()), tuple(people))


def _person(entry: Entry, image_id: int, dataset: DataSet, head_px: float, hint: str) -> TruePerson:
    """Positions in the file count from 1, as Matlab does; here from 0."""
    joints = entry.numbers("joints", (dataset.keypoints, 2), hint) - 1
    visible = entry.numbers("joints_vis", (dataset.keypoints,), hint)
    (x, y), scale = entry.numbers("center", (2,), hint).tolist(), entry.number("scale", hint)
    if scale <= 0:
        raise entry.error(f"has 'scale' = {scale:g}, which is not positive")
    x, y, half = x - 1, y + _LOWER_PX * scale - 1, scale * _SCALE_PX / 2
    return TruePerson(
        image_id=image_id,
        category_id=PERSON,
        points=np.column_stack([joints, visible]),
        box=(x - half, y - half, x + half, y + half),
        area=(2 * half) ** 2,
        counted=int((visible > 0).sum()),
        head_px=head_px,
    )


def _heads(path: Path, entries: list[Entry]) -> NDArray[np.float64]:
    """Sizes [N] of the heads, in pixels."""
    if "head_box" in entries[0]:
        boxes = np.array([entry.numbers("head_box", (4,)) for entry in entries]).reshape(-1, 2, 2)
    else:
        boxes = _boxes_of_mat(path, len(entries))
    sizes: NDArray[np.float64] = _HEAD_SHARE * np.linalg.norm(boxes[:, 1] - boxes[:, 0], axis=1)
    if not (sizes > 0).all():
        raise ConfigError(f"{path}: the head's box of entry {int(sizes.argmin())} is empty")
    return sizes


def _boxes_of_mat(path: Path, count: int) -> NDArray[np.float64]:
    """Corners [N, 2, 2] of the heads' boxes from the ``.mat`` file beside ``path``."""
    beside = path.with_name(f"mpii_gt_{path.stem.removeprefix('mpii_')}.mat")
    if not beside.is_file():
        raise ConfigError(
            f"{path}: its entries have no 'head_box', and there is no {beside.name} beside it",
            hint=f"Put {beside.name} of the HRNet or mmpose project there; see docs/evaluation.md.",
        )
    if importlib.util.find_spec("scipy") is None:
        raise ToolchainError(
            f"{beside} cannot be read without scipy", hint="pip install 'edgepose[eval]'"
        )
    corners = _read_mat(beside).get("headboxes_src")
    if corners is None or corners.shape != (2, 2, count):
        raise ConfigError(f"{beside}: no boxes of {count} heads in it (headboxes_src)")
    return np.asarray(corners.transpose(2, 0, 1), np.float64)


def _read_mat(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        found: dict[str, Any] = loadmat(str(path))
    except (OSError, ValueError, TypeError, MatReadError) as error:
        raise ConfigError(f"{path}: not a Matlab file: {error}") from None
    return found
