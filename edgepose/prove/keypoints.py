"""Drift in key-point space: how far an artifact moves what the FP32 net sees, in input pixels.

What counts is what either net is sure of, judged so that noise cannot flip the verdict:

- Key points: those that the reference sees with a score ≥ 0.3 and without a rival, i.e. nothing
  far from the peak reaches 0.9 of it (two people in one map: either may win by a hair).
- Detections: those that either side reports above 0.3. The other side must see the same cell and
  class above 0.2, and its box *there* is compared: NMS may pick a neighbouring cell by a hair.

Whatever is lost, or not a number, counts as moved by the input's diagonal, with a similarity of 0.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgepose.pose.decode import Keypoints, decode, ordered_outputs
from edgepose.pose.decode.associative import mean_heatmaps
from edgepose.pose.decode.rtmdet import candidates
from edgepose.pose.nms import box_iou, nms_per_class
from edgepose.pose.oks import oks, sigmas_for
from edgepose.pose.result import Floats
from edgepose.prove.proof import KeypointFigures
from edgepose.recipes import KeypointGate
from edgepose.zoo import AssociativeDecoder, InputSpec, ModelSpec, RTMDetDecoder, SimCCDecoder

SEEN = 0.3
LOST = 0.2
_RIVAL = 0.9  # of the peak's value
_REACH = 1 / 16  # of the map's longer side: what is nearer belongs to the peak
_LEAST_AREA = 1 / 16  # of the input: OKS of a few points close together would be meaningless

_Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


def keypoint_drift(
    spec: ModelSpec, reference: Mapping[str, Floats], outputs: Mapping[str, Floats]
) -> KeypointFigures:
    """Compare an artifact's outputs for one input with the FP32 net's, by the model's decoder.

    Distances are in input pixels: of a key point, or of a detection's most moved corner
    coordinate. ``oks`` takes the reference points' box as the area; for detections it is the mean
    IoU. ``n_points`` 0 means that nothing could be compared: the rest then says "no drift".
    Raises UsageError where the model has none, or one that does not fit the outputs.
    """
    wanted, found = decode(spec, reference), decode(spec, outputs)
    assert spec.input is not None  # or decode had refused
    if isinstance(wanted, Keypoints) and isinstance(found, Keypoints):
        counted = (wanted.scores >= SEEN) & _without_rival(spec, ordered_outputs(spec, reference))
        return _point_drift(spec.input, wanted, found, counted)
    assert isinstance(spec.decoder, RTMDetDecoder)
    arrays = ordered_outputs(spec, reference), ordered_outputs(spec, outputs)
    return _box_drift(spec.input, spec.decoder, *arrays)


def combine(drifts: Sequence[KeypointFigures]) -> KeypointFigures:
    """Several inputs as one: mean over all points, largest distance, smallest OKS."""
    counted = [drift for drift in drifts if drift.n_points]
    if not counted:
        return _nothing()
    n_points = sum(drift.n_points for drift in counted)
    return KeypointFigures(
        mean_px=sum(drift.mean_px * drift.n_points for drift in counted) / n_points,
        max_px=max(drift.max_px for drift in counted),
        oks=min(drift.oks for drift in counted),
        n_points=n_points,
        note=counted[0].note,
    )


def judge_keypoints(drift: KeypointFigures, gate: KeypointGate) -> list[str]:
    """What of ``drift`` breaks the gate, as sentences with both figures; [] where nothing does."""
    failures = [
        f"key points: {what} drift of {value:.2f} px exceeds {limit:g} px"
        for what, value, limit in (
            ("mean", drift.mean_px, gate.max_mean_drift_px),
            ("largest", drift.max_px, gate.max_drift_px),
        )
        if not value <= limit
    ]
    if not drift.oks >= gate.min_oks:
        failures.append(f"key points: similarity of {drift.oks:.4f} is below {gate.min_oks:g}")
    return failures


def _nothing() -> KeypointFigures:
    note = f"the FP32 net sees nothing above {SEEN:g}"
    return KeypointFigures(mean_px=0.0, max_px=0.0, oks=1.0, n_points=0, note=note)


def _diagonal(spec: InputSpec) -> float:
    return float(np.hypot(spec.height, spec.width))


def _point_drift(
    spec: InputSpec, wanted: Keypoints, found: Keypoints, counted: NDArray[np.bool_]
) -> KeypointFigures:
    if not counted.any():
        return _nothing()
    diagonal = _diagonal(spec)
    lost = ~(found.scores > 0)  # true for NaN, too
    points = np.where(lost[:, None], wanted.points + diagonal, found.points)[counted]
    truth = wanted.points[counted]
    distances = np.minimum(np.linalg.norm(points - truth, axis=-1), diagonal)
    least = _LEAST_AREA * spec.height * spec.width
    area = max(float(np.ptp(truth, axis=0).prod()), least)
    return KeypointFigures(
        mean_px=float(distances.mean()),
        max_px=float(distances.max()),
        oks=oks(points, truth, sigmas_for(len(counted))[counted], area),
        n_points=int(counted.sum()),
        note="key points",
    )


def _without_rival(spec: ModelSpec, outputs: Sequence[Floats]) -> NDArray[np.bool_]:
    """Per key point [K]: does the reference have one peak only?"""
    match spec.decoder:
        case SimCCDecoder():
            return _single_peak(outputs[0][0]) & _single_peak(outputs[1][0])
        case AssociativeDecoder():
            return _single_peak(mean_heatmaps(outputs[0], outputs[1], spec.keypoints)[0])
        case _:
            return _single_peak(outputs[0][0])


def _single_peak(maps: Floats) -> NDArray[np.bool_]:
    """Whether in each map [K, ...] nothing out of the peak's reach comes near its value."""
    flat = maps.reshape(len(maps), -1)
    peaks = np.stack(np.unravel_index(flat.argmax(-1), maps.shape[1:]), axis=-1)
    cells = np.indices(maps.shape[1:]).reshape(maps.ndim - 1, -1).T
    away = np.abs(cells[None] - peaks[:, None]).max(-1) > _REACH * max(maps.shape[1:])
    rivals = np.where(away, flat, -np.inf).max(-1)
    single: NDArray[np.bool_] = rivals < _RIVAL * flat.max(-1)
    return single


def _box_drift(
    spec: InputSpec, decoder: RTMDetDecoder, reference: Sequence[Floats], outputs: Sequence[Floats]
) -> KeypointFigures:
    size = (spec.height, spec.width)
    wanted, truth = map(np.concatenate, candidates(reference, decoder, size))
    found, scores = map(np.concatenate, candidates(outputs, decoder, size))
    either = [_detections(wanted, truth, decoder), _detections(found, scores, decoder)]
    pairs = np.unique(np.concatenate([np.stack(pair, axis=-1) for pair in either]), axis=0)
    if not len(pairs):
        return _nothing()
    cells, classes = pairs.T
    a, b = wanted[cells], found[cells]
    kept = (truth[cells, classes] > LOST) & (scores[cells, classes] > LOST)
    kept &= np.isfinite(b).all(-1)
    shifts = np.where(kept, np.abs(a - b).max(-1), _diagonal(spec))
    similarity = np.where(kept, np.diagonal(box_iou(a, b)), 0.0)
    return KeypointFigures(
        mean_px=float(shifts.mean()),
        max_px=float(shifts.max()),
        oks=float(similarity.mean()),
        n_points=len(pairs),
        note="corners of detections; the mean IoU stands in for OKS",
    )


def _detections(boxes: Floats, scores: Floats, decoder: RTMDetDecoder) -> _Pairs:
    """(cell, class) of each detection above ``SEEN``, whatever threshold the decoder has."""
    cells, classes = np.nonzero(scores > SEEN)
    kept = nms_per_class(boxes[cells], scores[cells, classes], classes, decoder.nms_iou)
    return cells[kept], classes[kept]
