from pathlib import Path

import numpy as np
import pytest

from edgepose.config import convert
from edgepose.errors import ConfigError, UsageError
from edgepose.pose.decode import Boxes, Keypoints, decode, decode_crops
from edgepose.pose.decode.heatmap import decode_heatmaps
from edgepose.pose.decode.rtmdet import decode_rtmdet
from edgepose.pose.decode.simcc import decode_simcc
from edgepose.zoo import (
    AssociativeDecoder,
    Decoder,
    HeatmapDecoder,
    InputSpec,
    ModelSpec,
    RTMDetDecoder,
    SimCCDecoder,
)

SMALL = InputSpec(height=64, width=48)


def model(
    decoder: Decoder | None,
    keypoints: int,
    outputs: tuple[str, ...],
    size: InputSpec = SMALL,
) -> ModelSpec:
    return ModelSpec(
        name="net",
        family="onnx",
        task="unknown",
        input=size,
        outputs=outputs,
        decoder=decoder,
        keypoints=keypoints,
    )


def gaussian(height: int, width: int, x: float, y: float, sigma: float = 2.0) -> np.ndarray:
    rows, columns = np.indices((height, width))
    blob = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return blob.astype(np.float32)[None, None]


@pytest.mark.parametrize("size", ["256x192", "384x288"])
def test_simcc_decodes_as_the_original_code(shared_data: Path, size: str) -> None:
    reference = np.load(shared_data / "reference" / "post_simcc.npz")
    for logits, decoded in (("dec_p", "dec"), ("", "rt")):
        x, y = reference[f"{size}_{logits}x"], reference[f"{size}_{logits}y"]
        for i in range(len(x)):
            found = decode_simcc(x[i : i + 1], y[i : i + 1], 2.0)
            np.testing.assert_allclose(found.points, reference[f"{size}_{decoded}_kp"][i])
            np.testing.assert_allclose(found.scores, reference[f"{size}_{decoded}_s"][i])


@pytest.mark.parametrize("codec", ["msra", "msra_s1"])
def test_quarter_offset_decodes_as_the_original_code(shared_data: Path, codec: str) -> None:
    reference = np.load(shared_data / "reference" / "post_heatmap_codecs.npz")
    found = decode_heatmaps(reference[f"{codec}_noisy"][None], (4, 4), "quarter")
    np.testing.assert_allclose(found.points, reference[f"{codec}_dec_kp"][0])
    np.testing.assert_allclose(found.scores, reference[f"{codec}_dec_s"][0])


def test_udp_decodes_as_the_original_code(shared_data: Path) -> None:
    reference = np.load(shared_data / "reference" / "post_heatmap_codecs.npz")
    decoder = HeatmapDecoder(refine="udp", blur_kernel=11)
    spec = model(decoder, 17, ("heatmaps",), InputSpec(height=256, width=192, fit="crop-udp"))
    found = decode(spec, {"heatmaps": reference["udp_noisy"][None]})
    assert isinstance(found, Keypoints)
    np.testing.assert_allclose(found.points, reference["udp_dec_kp"][0], atol=1e-4)
    np.testing.assert_allclose(found.scores, reference["udp_dec_s"][0])


def test_dark_agrees_with_udp_away_from_the_edges(shared_data: Path) -> None:
    reference = np.load(shared_data / "reference" / "post_heatmap_codecs.npz")
    heatmaps = reference["udp_noisy"][None]
    dark, udp, plain = (
        decode_heatmaps(heatmaps, (1, 1), refine, 11) for refine in ("dark", "udp", "none")
    )
    inside = (plain.points > 2).all(1) & (plain.points < [45, 61]).all(1) & (plain.scores > 0.5)
    assert inside.sum() >= 12
    np.testing.assert_allclose(dark.points[inside], udp.points[inside], atol=0.01)
    assert np.abs(plain.points - udp.points)[inside].max() > 0.25


def test_crops_decode_together_as_each_alone() -> None:
    random = np.random.default_rng(0)
    size = InputSpec(height=64, width=48, fit="crop")
    x, y = (random.normal(size=(3, 5, n)).astype(np.float32) for n in (96, 128))
    heatmaps = random.random((3, 5, 16, 12), np.float32)
    cases: list[tuple[Decoder, list[np.ndarray]]] = [(SimCCDecoder(), [x, y])]
    cases += [
        (HeatmapDecoder(refine=refine), [heatmaps]) for refine in ("none", "quarter", "dark", "udp")
    ]
    for decoder, outputs in cases:
        spec = model(decoder, 5, tuple(map(str, range(len(outputs)))), size)
        points, scores = decode_crops(spec, outputs)
        for i in range(3):
            alone = decode(spec, {str(n): each[i : i + 1] for n, each in enumerate(outputs)})
            assert isinstance(alone, Keypoints)
            np.testing.assert_allclose(alone.points, points[i], atol=1e-6)
            np.testing.assert_array_equal(alone.scores, scores[i])


def test_boxes_are_cut_to_the_part_that_the_image_fills() -> None:
    outputs = detector_outputs()
    whole = decode_rtmdet(outputs, RTMDetDecoder(strides=(8, 16)), (64, 48))
    part = decode_rtmdet(outputs, RTMDetDecoder(strides=(8, 16)), (30, 14), (10, 8))
    np.testing.assert_allclose(whole.boxes[0], [6, 4, 26, 44])
    np.testing.assert_allclose(part.boxes[0], [8, 10, 22, 40])


def test_dark_finds_the_centre_of_a_gaussian_between_cells() -> None:
    found = decode_heatmaps(gaussian(64, 48, 20.3, 30.7), (4, 4), "dark", 3)
    np.testing.assert_allclose(found.points, [[81.2, 122.8]], atol=0.01)


def test_dark_stays_on_the_cell_near_the_edge_and_on_flat_maps() -> None:
    corner = decode_heatmaps(gaussian(64, 48, 1.3, 62.2), (4, 4), "dark", 3)
    np.testing.assert_array_equal(corner.points, [[4, 248]])
    flat = decode_heatmaps(np.ones((1, 1, 64, 48), np.float32), (4, 4), "dark", 3)
    np.testing.assert_array_equal(flat.points, [[0, 0]])


@pytest.mark.parametrize("broken", [np.inf, np.nan])
def test_dark_keeps_what_is_broken_in_one_map_out_of_the_next(broken: float) -> None:
    maps = np.concatenate([gaussian(64, 48, 20, 30), gaussian(64, 48, 20.3, 2.7)], axis=1)
    alone = decode_heatmaps(maps[:, 1:], (4, 4), "dark", 11)
    maps[0, 0, -3:] = broken
    with np.errstate(invalid="ignore"):
        both = decode_heatmaps(maps, (4, 4), "dark", 11)
    np.testing.assert_array_equal(both.points[1], alone.points[0])
    assert np.isfinite(both.points).all()


@pytest.mark.parametrize("refine", ["none", "quarter", "dark", "udp"])
def test_a_map_without_a_peak_gives_a_point_outside_the_input(refine: str) -> None:
    found = decode_heatmaps(np.full((1, 2, 16, 12), -0.5, np.float32), (4, 4), refine, 3)
    assert (found.points < 0).all() and (found.scores <= 0).all()


@pytest.mark.parametrize("case", range(3))
def test_rtmdet_decodes_as_the_original_code(shared_data: Path, case: int) -> None:
    reference = np.load(shared_data / "reference" / "post_rtmdet.npz")
    outputs = [reference[f"t{case}_{kind}{level}"] for kind in ("cls", "reg") for level in range(3)]
    size = tuple(reference[f"t{case}_img_shape"])
    found = decode_rtmdet(outputs, RTMDetDecoder(), size)
    scale = np.tile(reference[f"t{case}_scale_factor"], 2)
    np.testing.assert_allclose(found.boxes / scale, reference[f"t{case}_bboxes"], atol=1e-3)
    np.testing.assert_allclose(found.scores, reference[f"t{case}_scores"], atol=1e-6)


def detector_outputs() -> list[np.ndarray]:
    """Split layout for 64x48, two classes: one sure person per class on the same box."""
    random = np.random.default_rng(0)
    outputs = [np.full((1, 2, 64 // s, 48 // s), -8, np.float32) for s in (8, 16)]
    outputs += [random.uniform(2, 9, (1, 4, 64 // s, 48 // s)).astype("f") for s in (8, 16)]
    outputs[0][0, :, 3, 2] = 2.0, 1.0
    outputs[0][0, 0, 3, 3] = 1.5
    outputs[2][0, :, 3, 2:4] = np.array([[10, 18], [20, 20], [10, 2], [20, 20]])
    return outputs


def test_boxes_suppress_each_other_only_within_their_class() -> None:
    decoder = RTMDetDecoder(strides=(8, 16))
    found = decode_rtmdet(detector_outputs(), decoder, (64, 48))
    np.testing.assert_allclose(found.boxes, [[6, 4, 26, 44]] * 2)
    np.testing.assert_array_equal(found.classes, [0, 1])
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp([-2.0, -1.0])), rtol=1e-6)


def test_both_layouts_of_rtmdet_give_the_same_boxes() -> None:
    split = detector_outputs()
    fused = [np.concatenate([split[i], split[2 + i]], 1).transpose(0, 2, 3, 1) for i in range(2)]
    spec = model(RTMDetDecoder(strides=(8, 16)), 0, ("a", "b", "c", "d"))
    spec_fused = model(RTMDetDecoder(strides=(8, 16), layout="fused"), 0, ("a", "b"))
    one = decode(spec, dict(zip("abcd", split, strict=True)))
    two = decode(spec_fused, dict(zip("ab", fused, strict=True)))
    assert isinstance(one, Boxes) and isinstance(two, Boxes) and len(one.boxes) == 2
    np.testing.assert_array_equal(one.boxes, two.boxes)
    np.testing.assert_array_equal(one.scores, two.scores)


def test_a_detector_that_sees_nothing_gives_no_boxes() -> None:
    outputs = [
        np.full_like(output, -9) if i < 2 else output for i, output in enumerate(detector_outputs())
    ]
    found = decode_rtmdet(outputs, RTMDetDecoder(strides=(8, 16)), (64, 48))
    assert found.boxes.shape == (0, 4) and found.scores.shape == found.classes.shape == (0,)


def test_the_strongest_peak_is_taken_from_the_mean_of_both_scales() -> None:
    """Alone, either scale has its peak elsewhere; together they agree on one place."""
    coarse = 0.7 * gaussian(16, 12, 5.5, 7.5, 1) + 0.9 * gaussian(16, 12, 10, 2, 1)
    fine = 0.8 * gaussian(32, 24, 11.5, 15.5, 2) + 1.0 * gaussian(32, 24, 2, 28, 2)
    tags = np.full((1, 1, 16, 12), 99, np.float32)
    spec = model(AssociativeDecoder(), 1, ("out0", "out1"))
    outputs = {"out0": np.concatenate([coarse, tags], 1), "out1": fine}
    found = decode(spec, outputs)
    assert isinstance(found, Keypoints)
    # cell 11.5 of the fine map is pixel (11.5 + 0.5) · 2 of the input
    np.testing.assert_allclose(found.points, [[24, 32]], atol=0.75)
    expected = (0.7 * np.exp(-1 / 4) + 0.8 * np.exp(-1 / 16)) / 2
    assert found.scores[0] == pytest.approx(expected, abs=1e-3)


def test_decode_takes_outputs_by_the_names_of_the_model() -> None:
    spec = model(SimCCDecoder(split=2.0), 1, ("simcc_x", "simcc_y"))
    x, y = np.zeros((1, 1, 96), np.float32), np.zeros((1, 1, 128), np.float32)
    x[0, 0, 21], y[0, 0, 100] = 1, 1
    for outputs in ({"simcc_y": y, "simcc_x": x}, {"0": x, "1": y}):
        found = decode(spec, outputs)
        assert isinstance(found, Keypoints)
        np.testing.assert_array_equal(found.points, [[10.5, 50]])


def test_heatmap_cells_lie_at_multiples_of_the_stride() -> None:
    spec = model(HeatmapDecoder(refine="none"), 1, ("heatmaps",))
    found = decode(spec, {"heatmaps": gaussian(16, 12, 5, 9)})
    assert isinstance(found, Keypoints)
    np.testing.assert_array_equal(found.points, [[20, 36]])


@pytest.mark.parametrize(
    ("decoder", "shapes"),
    [
        (SimCCDecoder(), [(1, 3, 128), (1, 3, 96)]),
        (SimCCDecoder(), [(1, 3, 96)]),
        (HeatmapDecoder(), [(1, 17, 16, 12)]),
        (HeatmapDecoder(), [(2, 3, 16, 12)]),
        (AssociativeDecoder(), [(1, 3, 16, 12), (1, 3, 32, 24)]),
        (RTMDetDecoder(strides=(8,)), [(1, 8, 6, 5), (1, 8, 6, 5)]),
        (RTMDetDecoder(strides=(8,), layout="fused"), [(1, 5, 8, 6)]),
    ],
)
def test_outputs_that_do_not_fit_the_decoder_are_refused(
    decoder: Decoder, shapes: list[tuple[int, ...]]
) -> None:
    outputs = {str(i): np.zeros(shape, np.float32) for i, shape in enumerate(shapes)}
    with pytest.raises(UsageError, match="its decoder needs"):
        decode(model(decoder, 3, tuple(outputs)), outputs)


def test_a_blur_without_a_middle_is_refused() -> None:
    with pytest.raises(ConfigError, match="blur_kernel must be odd, not 4"):
        convert({"kind": "heatmap", "blur_kernel": 4}, HeatmapDecoder, "net.toml")


def test_a_model_without_a_decoder_is_refused() -> None:
    with pytest.raises(UsageError, match="how its outputs are decoded"):
        decode(model(None, 0, ("out",)), {"out": np.zeros((1, 5), np.float32)})
