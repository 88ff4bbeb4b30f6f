from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from edgepose.prove.golden_images import golden_cases
from edgepose.prove.keypoints import combine, judge_keypoints, keypoint_drift
from edgepose.prove.proof import KeypointFigures
from edgepose.recipes import KeypointGate
from edgepose.zoo import (
    AssociativeDecoder,
    Decoder,
    HeatmapDecoder,
    InputSpec,
    ModelSpec,
    RTMDetDecoder,
    SimCCDecoder,
)
from tests.trained_model import trained_model

Arrays = dict[str, NDArray[np.float32]]
DIAGONAL = np.hypot(64, 48)
GATE = KeypointGate(max_mean_drift_px=0.5, max_drift_px=2.0, min_oks=0.97)


def model(decoder: Decoder, outputs: tuple[str, ...], keypoints: int = 0) -> ModelSpec:
    return ModelSpec(
        name="net",
        family="onnx",
        task="unknown",
        input=InputSpec(height=64, width=48),
        outputs=outputs,
        decoder=decoder,
        keypoints=keypoints,
    )


HEATMAPS = model(HeatmapDecoder(refine="none"), ("heatmaps",), keypoints=3)
SIMCC = model(SimCCDecoder(), ("x", "y"), keypoints=3)
DETECTOR = model(RTMDetDecoder(strides=(8,), score_threshold=0.6), ("cls", "reg"))


def heatmaps(*peaks: tuple[int, int, float]) -> Arrays:
    """One map per (x, y, value), 32x24 cells of 2 pixels."""
    rows, columns = np.indices((32, 24))
    maps = [v * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 2) for x, y, v in peaks]
    return {"heatmaps": np.array(maps, np.float32)[None]}


def detections(*found: tuple[int, int, float]) -> Arrays:
    """A person at each (column, row, score) of 8x6 cells of 8 pixels; boxes of 16x16 pixels."""
    logits = np.full((1, 1, 8, 6), -9, np.float32)
    for column, row, score in found:
        logits[0, 0, row, column] = np.log(score / (1 - score))
    return {"cls": logits, "reg": np.full((1, 4, 8, 6), 8, np.float32)}


REFERENCE = heatmaps((5, 6, 0.9), (15, 10, 0.8), (12, 28, 0.7))


def test_equal_outputs_have_no_drift() -> None:
    drift = keypoint_drift(HEATMAPS, REFERENCE, REFERENCE)
    assert (drift.mean_px, drift.max_px, drift.oks, drift.n_points) == (0, 0, 1, 3)
    assert judge_keypoints(drift, GATE) == []


def test_drift_is_measured_in_pixels_of_the_input() -> None:
    moved = heatmaps((5, 6, 0.9), (18, 14, 0.8), (12, 28, 0.7))
    drift = keypoint_drift(HEATMAPS, REFERENCE, moved)
    assert drift.max_px == pytest.approx(10)  # 3 and 4 cells of 2 pixels
    assert drift.mean_px == pytest.approx(10 / 3)
    area = (30 - 10) * (56 - 12)  # the box of the reference's points
    expected = (2 + np.exp(-(10**2) / (2 * area * 0.1**2))) / 3
    assert drift.oks == pytest.approx(expected)


def test_points_that_the_reference_does_not_see_do_not_count() -> None:
    reference = heatmaps((5, 6, 0.9), (15, 10, 0.29), (12, 28, 0.7))
    moved = heatmaps((5, 6, 0.9), (2, 30, 0.29), (12, 28, 0.7))
    drift = keypoint_drift(HEATMAPS, reference, moved)
    assert (drift.max_px, drift.n_points) == (0, 2)


def test_a_tie_between_two_people_does_not_count() -> None:
    """Noise decides which of two equal peaks wins; that says nothing about the artifact."""
    left, right = heatmaps(*[(4, 8, 0.80)] * 3), heatmaps(*[(20, 8, 0.79)] * 3)
    reference = {"heatmaps": left["heatmaps"] + right["heatmaps"]}
    other = {"heatmaps": left["heatmaps"] + 1.02 * right["heatmaps"]}
    assert keypoint_drift(HEATMAPS, reference, other).n_points == 0
    clear = {"heatmaps": left["heatmaps"] + 0.8 * right["heatmaps"]}
    drift = keypoint_drift(HEATMAPS, clear, {"heatmaps": right["heatmaps"]})
    assert drift.n_points == 3 and drift.max_px == pytest.approx(32)


@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_tie_on_either_axis_of_simcc_does_not_count(axis: str) -> None:
    reference = {"x": np.zeros((1, 3, 96), np.float32), "y": np.zeros((1, 3, 128), np.float32)}
    for name in reference:
        reference[name][0, :, 20] = 0.9
    assert keypoint_drift(SIMCC, reference, reference).n_points == 3
    reference[axis][0, 1, 70] = 0.89
    assert keypoint_drift(SIMCC, reference, reference).n_points == 2


def test_bottom_up_nets_are_compared_by_their_strongest_peaks() -> None:
    spec = model(AssociativeDecoder(), ("out0", "out1"), keypoints=3)

    def outputs(*peaks: tuple[int, int, float]) -> Arrays:
        coarse = np.zeros((1, 6, 16, 12), np.float32)
        return {"out0": coarse, "out1": 2 * heatmaps(*peaks)["heatmaps"]}

    reference = outputs((5, 6, 0.9), (15, 10, 0.8), (12, 28, 0.7))
    drift = keypoint_drift(spec, reference, outputs((5, 6, 0.9), (15, 13, 0.8), (12, 28, 0.7)))
    assert drift.n_points == 3 and drift.max_px == pytest.approx(6)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 0.0])
def test_dead_outputs_count_as_moved_by_the_diagonal(value: float) -> None:
    dead = {"heatmaps": np.full((1, 3, 32, 24), value, np.float32)}
    drift = keypoint_drift(HEATMAPS, REFERENCE, dead)
    assert np.isfinite([drift.mean_px, drift.max_px, drift.oks]).all()
    assert len(judge_keypoints(drift, GATE)) == 3
    if not value > 0:
        assert drift.mean_px == drift.max_px == pytest.approx(DIAGONAL)
        assert drift.oks == pytest.approx(0, abs=1e-6)


def test_points_close_together_are_not_judged_by_their_tiny_area() -> None:
    reference, moved = heatmaps(*[(10, 10, 0.9)] * 3), heatmaps(*[(10, 11, 0.9)] * 3)
    drift = keypoint_drift(HEATMAPS, reference, moved)
    assert drift.oks == pytest.approx(np.exp(-4 / (2 * (64 * 48 / 16) * 0.1**2)))


def test_nothing_seen_means_nothing_compared_and_nothing_broken() -> None:
    faint = heatmaps(*[(5, 6, 0.1)] * 3)
    for spec, outputs in ((HEATMAPS, faint), (DETECTOR, detections((2, 2, 0.25)))):
        drift = keypoint_drift(spec, outputs, outputs)
        assert drift.n_points == 0 and "nothing above 0.3" in drift.note
        assert judge_keypoints(drift, GATE) == []


def test_detections_drift_by_their_most_moved_corner() -> None:
    reference, moved = detections((2, 3, 0.9)), detections((2, 3, 0.8))
    moved["reg"][0, 2] += 4
    drift = keypoint_drift(DETECTOR, reference, moved)
    assert (drift.max_px, drift.n_points) == (4, 1)
    assert drift.oks == pytest.approx(16 / 20)


def test_a_score_near_the_threshold_does_not_flip_the_verdict() -> None:
    for reference, found in ((0.31, 0.25), (0.25, 0.31)):
        drift = keypoint_drift(DETECTOR, detections((2, 3, reference)), detections((2, 3, found)))
        assert (drift.max_px, drift.oks, drift.n_points) == (0, 1, 1)


def test_lost_and_invented_detections_count_as_moved_by_the_diagonal() -> None:
    both, one = detections((1, 1, 0.9), (4, 6, 0.9)), detections((1, 1, 0.9))
    for reference, found in ((both, one), (one, both)):
        drift = keypoint_drift(DETECTOR, reference, found)
        assert drift.max_px == pytest.approx(DIAGONAL)
        assert (drift.oks, drift.n_points) == (0.5, 2)
        assert judge_keypoints(drift, GATE)


def test_the_choice_between_two_neighbouring_cells_does_not_count_as_drift() -> None:
    """Two cells see one person almost equally well, and NMS keeps the better one."""
    boxes = detections((2, 3, 0.90), (3, 3, 0.89))["reg"]
    boxes[0, :, 3, 2], boxes[0, :, 3, 3] = (8, 12, 24, 12), (15, 12, 17, 12)
    reference = {**detections((2, 3, 0.90), (3, 3, 0.89)), "reg": boxes}
    swapped = {**detections((2, 3, 0.89), (3, 3, 0.90)), "reg": boxes}
    drift = keypoint_drift(DETECTOR, reference, swapped)
    assert (drift.max_px, drift.oks) == (0, 1)


def test_a_detector_gone_mad_fails_with_finite_figures() -> None:
    mad = {name: np.full_like(array, np.nan) for name, array in detections().items()}
    drift = keypoint_drift(DETECTOR, detections((2, 3, 0.9)), mad)
    assert drift.max_px == pytest.approx(DIAGONAL) and drift.oks == 0
    half_mad = {**detections((2, 3, 0.9)), "reg": mad["reg"]}
    assert keypoint_drift(DETECTOR, detections((2, 3, 0.9)), half_mad).oks == 0


def figures(mean: float, largest: float, oks: float, points: int) -> KeypointFigures:
    return KeypointFigures(mean_px=mean, max_px=largest, oks=oks, n_points=points)


def test_several_inputs_combine_to_the_mean_and_the_worst() -> None:
    blind = figures(0, 0, 1, 0)
    drift = combine([figures(1.0, 2.0, 0.99, 10), blind, figures(4.0, 5.0, 0.9, 5)])
    assert (drift.mean_px, drift.max_px, drift.oks, drift.n_points) == (2.0, 5.0, 0.9, 15)
    assert combine([blind, blind]).n_points == 0
    assert combine([]).n_points == 0


def test_every_broken_limit_is_named_with_both_figures() -> None:
    assert judge_keypoints(figures(0.5, 2.0, 0.97, 9), GATE) == []
    failures = judge_keypoints(figures(0.61, 2.4, 0.91, 9), GATE)
    assert len(failures) == 3
    for sentence, value, limit in zip(
        failures, ("0.61", "2.40", "0.9100"), ("0.5", "2", "0.97"), strict=True
    ):
        assert value in sentence and sentence.split(" ")[-1 if "below" in sentence else -2] == limit


@pytest.mark.parametrize("name", ["tinypose-256x192", "rtmdet-nano"])
def test_real_nets_tell_rounding_from_damage(shared_data: Path, name: str) -> None:
    """Outputs in half precision pass; outputs of the mirrored image fail."""
    spec, run = trained_model(shared_data, name)
    assert spec.input is not None
    halves, mirrored = [], []
    for case in golden_cases(spec.input):
        reference = dict(zip(spec.outputs, run(case.tensor), strict=True))
        half = {key: a.astype(np.float16).astype(np.float32) for key, a in reference.items()}
        other = run(np.ascontiguousarray(case.tensor[..., ::-1]))
        halves.append(keypoint_drift(spec, reference, half))
        mirrored.append(
            keypoint_drift(spec, reference, dict(zip(spec.outputs, other, strict=True)))
        )
    rounding = combine(halves)
    assert rounding.n_points >= (4 if name == "rtmdet-nano" else 48)
    assert judge_keypoints(rounding, GATE) == []
    assert len(judge_keypoints(combine(mirrored), GATE)) == 3


def test_figures_survive_json() -> None:
    drift = keypoint_drift(HEATMAPS, REFERENCE, heatmaps(*[(0, 0, np.nan)] * 3))
    assert msgspec.json.decode(msgspec.json.encode(drift), type=KeypointFigures) == drift
