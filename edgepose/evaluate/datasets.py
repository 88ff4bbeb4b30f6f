"""The annotated data sets that edgepose can score, as data.

Sigmas: COCO's from pycocotools, CrowdPose's from its own evaluation, COCO-WholeBody's from its own
evaluation (Jin et al. 2020), AP-10K's as mmpose has them (the paper gives none).
"""

from dataclasses import dataclass
from typing import Literal

from edgepose.config import pick
from edgepose.pose.oks import sigmas_for

_FOOT = (0.068, 0.066, 0.066, 0.092, 0.094, 0.094)
_FACE = (
    *(0.042, 0.043, 0.044, 0.043, 0.040, 0.035, 0.031, 0.025, 0.020, 0.023, 0.029, 0.032),
    *(0.037, 0.038, 0.043, 0.041, 0.045),  # the chin's line ends here
    *(0.013, 0.012, 0.011, 0.011, 0.012, 0.012, 0.011, 0.011, 0.013, 0.015),  # brows
    *(0.009, 0.007, 0.007, 0.007, 0.012, 0.009, 0.008, 0.016, 0.010),  # nose
    *(0.017, 0.011, 0.009, 0.011, 0.009, 0.007, 0.013, 0.008, 0.011, 0.012, 0.010, 0.034),  # eyes
    *(0.008, 0.008, 0.009, 0.008, 0.008, 0.007, 0.010, 0.008, 0.009, 0.009),  # lips, outside
    *(0.009, 0.007, 0.007, 0.008, 0.011, 0.008, 0.008, 0.008, 0.010, 0.008),  # and inside
)
_HAND = (
    *(0.029, 0.022, 0.035, 0.037, 0.047, 0.026, 0.025, 0.024, 0.035, 0.018, 0.024),
    *(0.022, 0.026, 0.017, 0.021, 0.021, 0.032, 0.020, 0.019, 0.022, 0.031),
)
_COCO = tuple(sigmas_for(17).tolist())
_CROWDPOSE = tuple(sigmas_for(14).tolist())
_AP10K = (0.025, 0.025, 0.026, *_COCO[3:])


@dataclass(frozen=True)
class Part:
    """Key points ``first`` to ``last`` (excluded), annotated in ``field`` and scored alone."""

    name: str
    field: str
    first: int
    last: int


@dataclass(frozen=True)
class DataSet:
    """``sigmas`` [K]; none for ``pckh``, where distances are measured in sizes of heads.

    ``fields`` hold the key points of an annotation, in the net's order when put in a row. Where
    annotations have no area, ``box_area`` of the box's stands in for it.
    """

    name: str
    title: str
    keypoints: int
    fields: tuple[str, ...] = ("keypoints",)
    sigmas: tuple[float, ...] = ()
    metric: Literal["oks", "pckh"] = "oks"
    box_area: float | None = None
    persons_only: bool = True
    single_person: bool = False
    crowd_index: bool = False
    parts: tuple[Part, ...] = ()


_BODY_PARTS = (
    Part("body", "keypoints", 0, 17),
    Part("foot", "foot_kpts", 17, 23),
    Part("face", "face_kpts", 23, 91),
    Part("left hand", "lefthand_kpts", 91, 112),
    Part("right hand", "righthand_kpts", 112, 133),
)

DATASETS = {
    each.name: each
    for each in (
        DataSet("coco", "COCO", 17, sigmas=_COCO, single_person=True),
        DataSet("crowdpose", "CrowdPose", 14, sigmas=_CROWDPOSE, box_area=0.53, crowd_index=True),
        DataSet("mpii", "MPII Human Pose", 16, metric="pckh"),
        DataSet(
            "coco-wholebody",
            "COCO-WholeBody",
            133,
            fields=tuple(part.field for part in _BODY_PARTS),
            sigmas=(*_COCO, *_FOOT, *_FACE, *_HAND, *_HAND),
            parts=_BODY_PARTS,
        ),
        DataSet("ap10k", "AP-10K", 17, sigmas=_AP10K, persons_only=False),
    )
}


def dataset(name: str) -> DataSet:
    """The data set ``name``. Raises UsageError with the nearest names."""
    return pick(name, DATASETS, "data set", "edgepose eval --help")
