"""The native runner's decoders find what the Python ones find."""

import json
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.crowd import crowd
from benchmarks.native_decoder import decode_natively, native_decoder, suppress_natively
from edgepose.bundle import Bundle
from edgepose.errors import ToolchainError
from edgepose.pose.decode import Boxes, Keypoints, decode
from edgepose.pose.decode.grouping import People, group
from edgepose.pose.decode.grouping_fast import group_fast
from edgepose.pose.decode.rtmdet import decode_rtmdet
from edgepose.pose.oks import sigmas_for
from edgepose.pose.preprocess import prepare, read_image
from edgepose.runners.plan import decoder_of
from edgepose.zoo import (
    AssociativeDecoder,
    Decoder,
    HeatmapDecoder,
    InputSpec,
    ModelSpec,
    RTMDetDecoder,
    SimCCDecoder,
)
from tests.runners.conftest import Run, lines_of, runner_of, start, write_plan
from tests.trained_model import trained_model

Floats = NDArray[np.float32]
NEAR_PX = 1e-3
KEYPOINTS = 17


def built_for(arch: str) -> Path:
    try:
        return native_decoder(arch)
    except ToolchainError as error:
        pytest.skip(f"{error}")


@pytest.fixture(scope="session")
def here() -> list[str]:
    return [str(built_for(platform.machine()))]


def model(decoder: Decoder, size: tuple[int, int], keypoints: int = KEYPOINTS) -> ModelSpec:
    return ModelSpec(
        name="net",
        family="onnx",
        task="unknown",
        input=InputSpec(height=size[0], width=size[1]),
        outputs=("a", "b"),
        decoder=decoder,
        keypoints=keypoints,
    )


def assert_same_points(line: dict[str, Any], wanted: Keypoints) -> None:
    (points,) = line["people"]
    found = np.array(points)
    np.testing.assert_allclose(found[:, :2], wanted.points, atol=NEAR_PX)
    np.testing.assert_allclose(found[:, 2], wanted.scores, rtol=1e-6, atol=1e-7)


def assert_same_boxes(line: dict[str, Any], wanted: Boxes) -> None:
    found = np.array(line["boxes"]).reshape(-1, 6)
    np.testing.assert_allclose(found[:, :4], wanted.boxes, atol=NEAR_PX)
    np.testing.assert_allclose(found[:, 4], wanted.scores, atol=1e-6)
    np.testing.assert_array_equal(found[:, 5], wanted.classes)


def assert_same_people(line: dict[str, Any], wanted: People, keypoints: int = KEYPOINTS) -> None:
    found = np.array(line["people"]).reshape(-1, keypoints, 3)
    assert found.shape[0] == len(wanted.scores)
    np.testing.assert_allclose(found[..., :2], wanted.points, atol=NEAR_PX)
    np.testing.assert_allclose(found[..., 2], wanted.values, atol=1e-5)
    np.testing.assert_allclose(line["scores"], wanted.scores, atol=1e-5)


def scene(people: int, shape: tuple[int, int] = (112, 112)) -> tuple[Floats, Floats]:
    """Outputs of a made-up bottom-up net, of which only ``shape`` coarse cells are left."""
    whole, (height, width) = crowd(max(people, 1)), shape
    faded = 1.0 if people else 0.05
    out0, out1 = whole.out0 * faded, whole.out1 * faded
    return (
        out0[..., :height, :width].astype(np.float32),
        out1[..., : 2 * height, : 2 * width].astype(np.float32),
    )


def exactly(out0: Floats, out1: Floats, keypoints: int) -> People:
    """What the published algorithm finds, in maps enlarged to the input's size."""
    size = (out1.shape[2] * 2, out1.shape[3] * 2)
    heatmaps = (enlarged(out0[0, :keypoints], out1.shape[2:]) + out1[0]) / 2
    tags = enlarged(enlarged(out0[0, keypoints:], out1.shape[2:]), size)
    return group(enlarged(heatmaps, size), tags[..., None])


def enlarged(maps: Floats, shape: tuple[int, ...]) -> Floats:
    return np.stack([cv2.resize(each, (shape[1], shape[0])) for each in maps])


def people_in(
    out0: Floats, out1: Floats, program: Sequence[str], **settings: float
) -> dict[str, Any]:
    size = (out1.shape[2] * 2, out1.shape[3] * 2)
    spec = model(AssociativeDecoder(**settings), size, out1.shape[1])
    (line,) = decode_natively(program, spec, [(out0, out1)])
    return line


@pytest.mark.parametrize("size", ["256x192", "384x288"])
def test_simcc_decodes_as_the_original_code(
    shared_data: Path, here: Sequence[str], size: str
) -> None:
    height, width = map(int, size.split("x"))
    with np.load(shared_data / "reference" / "post_simcc.npz") as data:
        for logits, decoded in (("dec_p", "dec"), ("", "rt")):
            x, y = data[f"{size}_{logits}x"], data[f"{size}_{logits}y"]
            cases = [(x[i : i + 1], y[i : i + 1]) for i in range(len(x))]
            lines = decode_natively(here, model(SimCCDecoder(), (height, width)), cases)
            found = np.array([line["people"][0] for line in lines])
            np.testing.assert_allclose(found[..., :2], data[f"{size}_{decoded}_kp"], atol=NEAR_PX)
            np.testing.assert_allclose(found[..., 2], data[f"{size}_{decoded}_s"], rtol=1e-6)


@pytest.mark.parametrize(
    ("codec", "refine", "size"),
    [
        ("msra", "quarter", (256, 256)),
        ("msra_s1", "quarter", (256, 256)),
        ("udp", "udp", (256, 192)),
    ],
)
def test_heatmaps_decode_as_the_original_code(
    shared_data: Path, here: Sequence[str], codec: str, refine: Any, size: tuple[int, int]
) -> None:
    with np.load(shared_data / "reference" / "post_heatmap_codecs.npz") as data:
        spec = model(HeatmapDecoder(refine=refine), size)
        (line,) = decode_natively(here, spec, [(data[f"{codec}_noisy"][None],)])
        wanted = data[f"{codec}_dec_kp"][0], data[f"{codec}_dec_s"][0]
    found = np.array(line["people"][0])
    np.testing.assert_allclose(found[:, :2], wanted[0], atol=NEAR_PX)
    np.testing.assert_allclose(found[:, 2], wanted[1], rtol=1e-6)


@pytest.mark.parametrize("refine", ["none", "quarter", "dark", "udp"])
@pytest.mark.parametrize("kernel", [3, 9, 11, 17])
def test_every_refinement_equals_the_python_one(
    here: Sequence[str], refine: Any, kernel: int
) -> None:
    """Peaks anywhere, at the edges too, of Gaussians and of noise; maps without a peak, and with
    one that no blur leaves above 0.
    """
    random = np.random.default_rng(kernel)
    rows, columns = np.indices((40, 30))
    heatmaps = np.full((1, KEYPOINTS, 40, 30), -0.5, np.float32)
    heatmaps[0, -2] -= (rows + 2 * columns) / 100  # a slope would show in the step
    heatmaps[0, -2, 20, 15] = 0.1
    for joint in range(KEYPOINTS - 2):
        y, x = random.uniform(-1, 41), random.uniform(-1, 31)
        squared = (rows - y) ** 2 + (columns - x) ** 2
        noise = random.uniform(0, 0.05, squared.shape) if joint % 2 else 0.0
        heatmaps[0, joint] = np.exp(-squared / 8) + noise
    spec = model(HeatmapDecoder(refine=refine, blur_kernel=kernel), (160, 120))
    (line,) = decode_natively(here, spec, [(heatmaps,)])
    wanted = decode(spec, {"a": heatmaps})
    assert isinstance(wanted, Keypoints)
    assert_same_points(line, wanted)


@pytest.mark.parametrize("case", range(3))
def test_rtmdet_decodes_as_the_original_code(
    shared_data: Path, here: Sequence[str], case: int
) -> None:
    """The runner cuts boxes to the whole input, the original to the picture in it."""
    with np.load(shared_data / "reference" / "post_rtmdet.npz") as data:
        names = [f"t{case}_{kind}{level}" for kind in ("cls", "reg") for level in range(3)]
        outputs = [data[name] for name in names]
        size = tuple(8 * cells for cells in outputs[0].shape[2:])
        is_filled = size == tuple(data[f"t{case}_img_shape"])
        reference = data[f"t{case}_bboxes"] * np.tile(data[f"t{case}_scale_factor"], 2)
    wanted = decode_rtmdet(outputs, RTMDetDecoder(), size)
    (line,) = decode_natively(here, model(RTMDetDecoder(), size), [outputs])
    assert len(wanted.boxes) > 10
    assert_same_boxes(line, wanted)
    if is_filled:
        np.testing.assert_allclose(np.array(line["boxes"])[:, :4], reference, atol=NEAR_PX)


def test_boxes_of_two_classes_do_not_suppress_each_other(here: Sequence[str]) -> None:
    random = np.random.default_rng(3)
    outputs = [random.normal(-3, 2, (1, 3, 128 // s, 96 // s)) for s in (8, 16, 32)]
    outputs += [random.uniform(5, 40, (1, 4, 128 // s, 96 // s)) for s in (8, 16, 32)]
    arrays = [output.astype(np.float32) for output in outputs]
    spec = model(RTMDetDecoder(), (128, 96))
    wanted = decode(spec, dict(zip("abcdef", arrays, strict=True)))
    assert isinstance(wanted, Boxes) and set(wanted.classes) == {0, 1, 2}
    assert_same_boxes(decode_natively(here, spec, [arrays])[0], wanted)
    together = [np.concatenate([arrays[i], arrays[i + 3]], 1) for i in range(3)]
    fused = [array.transpose(0, 2, 3, 1) for array in together]
    spec = model(RTMDetDecoder(layout="fused"), (128, 96))
    assert_same_boxes(decode_natively(here, spec, [fused])[0], wanted)


@pytest.mark.parametrize("name", ["tinypose-128x96", "tinypose-256x192", "rtmdet-nano"])
def test_real_nets_on_real_photographs_give_the_same(
    shared_data: Path, here: Sequence[str], name: str
) -> None:
    spec, run = trained_model(shared_data, name)
    assert spec.input is not None
    for path in sorted((shared_data / "images").glob("*.jpg")):
        outputs = run(prepare(read_image(path), spec.input)[0])
        wanted = decode(spec, dict(zip(spec.outputs, outputs, strict=True)))
        (line,) = decode_natively(here, spec, [outputs])
        if isinstance(wanted, Boxes):
            assert len(wanted.boxes)
            assert_same_boxes(line, wanted)
        else:
            assert_same_points(line, wanted)


def test_reference_outputs_of_rtmpose_give_the_same(shared_data: Path, here: Sequence[str]) -> None:
    spec = model(SimCCDecoder(), (256, 192))
    with np.load(shared_data / "reference" / "rtmpose-t.npz") as data:
        cases = [(data["pred_x"][i : i + 1], data["pred_y"][i : i + 1]) for i in range(2)]
    for (x, y), line in zip(cases, decode_natively(here, spec, cases), strict=True):
        wanted = decode(spec, {"a": x, "b": y})
        assert isinstance(wanted, Keypoints)
        assert_same_points(line, wanted)


def test_a_bottom_up_net_on_a_photograph_gives_the_same_people(
    shared_data: Path, here: Sequence[str]
) -> None:
    with np.load(shared_data / "reference" / "post_ae_e2e.npz", allow_pickle=False) as data:
        out0, out1 = data["out0"], data["out1"]
    wanted = group_fast(out0, out1, KEYPOINTS)
    assert len(wanted.scores) == 30
    assert_same_people(people_in(out0, out1, here), wanted)


def test_random_weights_give_as_many_people_with_the_same_peaks_in_all(
    shared_data: Path, here: Sequence[str]
) -> None:
    """Whose a peak is stays open: hundreds of people with one tag can share them at equal cost."""
    with np.load(shared_data / "reference" / "litepose-xs-coco.npz") as data:
        out0, out1 = data["out0"][:1], data["out1"][:1]
    wanted = group_fast(out0, out1, KEYPOINTS)
    line = people_in(out0, out1, here)
    assert len(line["scores"]) == len(wanted.scores) > 200
    # A person's score is the mean of his peaks', and every peak is somebody's.
    assert sum(line["scores"]) == pytest.approx(float(wanted.scores.sum()), rel=1e-5)


@pytest.mark.parametrize("people", [0, 1, 5, 30])
@pytest.mark.parametrize("shape", [(112, 112), (75, 101)])
def test_people_are_grouped_as_the_published_algorithm_does_it(
    here: Sequence[str], people: int, shape: tuple[int, int]
) -> None:
    out0, out1 = scene(people, shape)
    wanted = exactly(out0, out1, KEYPOINTS)
    assert len(wanted.scores) >= people or shape != (112, 112)
    assert_same_people(people_in(out0, out1, here), wanted)


@pytest.mark.parametrize("people", [1, 5, 30])
def test_people_are_those_of_the_fast_python_decoder(here: Sequence[str], people: int) -> None:
    out0, out1 = scene(people)
    assert_same_people(people_in(out0, out1, here), group_fast(out0, out1, KEYPOINTS))


@pytest.mark.parametrize(
    "settings", [{"detection_threshold": 0.6}, {"tag_threshold": 0.03}, {"max_people": 3}]
)
def test_what_counts_as_a_person_is_up_to_the_model(
    here: Sequence[str], settings: dict[str, float]
) -> None:
    out0, out1 = scene(5)
    wanted, usual = (
        group_fast(out0, out1, KEYPOINTS, AssociativeDecoder(**each)) for each in (settings, {})
    )
    assert wanted.scores.tolist() != usual.scores.tolist()
    assert_same_people(people_in(out0, out1, here, **settings), wanted)


def test_crowdpose_joints_are_grouped_in_their_own_order(here: Sequence[str]) -> None:
    out0, out1 = scene(6)
    outputs = np.concatenate([out0[:, :14], out0[:, 17:31]], axis=1), out1[:, :14]
    assert_same_people(people_in(*outputs, here), exactly(*outputs, 14), 14)


@pytest.mark.parametrize("case", range(4))
@pytest.mark.parametrize("limit", ["0.5", "0.9"])
def test_poses_found_twice_fall_as_in_the_original_code(
    shared_data: Path, here: Sequence[str], case: int, limit: str
) -> None:
    with np.load(shared_data / "reference" / "post_oks_nms.npz") as data:
        settings = {name: data[f"t{case}_{name}"].tolist() for name in ("scores", "areas")}
        poses, wanted = data[f"t{case}_kpts"], data[f"t{case}_keep_{limit}"]
    settings |= {"sigmas": sigmas_for(KEYPOINTS).tolist(), "limit": float(limit)}
    assert suppress_natively(here, poses, **settings) == wanted.tolist()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["simcc", "heatmap", "rtmdet", "associative"])
def test_outputs_that_are_not_finite_neither_crash_nor_hang_it(
    here: Sequence[str], kind: str, value: float
) -> None:
    outputs, decoder = _outputs_of(kind)
    for index in range(len(outputs)):
        for part in (np.s_[...], np.s_[..., ::2], np.s_[..., :1]):
            broken = [each.copy() for each in outputs]
            broken[index][part] = value
            assert len(decode_natively(here, model(decoder, (64, 48)), [broken])) == 1


@pytest.mark.parametrize("kind", ["simcc", "heatmap", "rtmdet", "associative"])
def test_outputs_of_another_net_are_refused(here: Sequence[str], kind: str) -> None:
    outputs, decoder = _outputs_of(kind)
    for wrong in ([*outputs, outputs[0]], [*outputs[:-1], outputs[-1][..., :-1]], []):
        if kind == "heatmap" and len(wrong) == 1:
            continue  # a heatmap may have any number of cells
        with pytest.raises(subprocess.CalledProcessError) as refused:
            decode_natively(here, model(decoder, (64, 48)), [wrong])
        assert refused.value.returncode == 10
        assert "decoder cannot read outputs" in refused.value.stderr


def _outputs_of(kind: str) -> tuple[list[Floats], Decoder]:
    random = np.random.default_rng(1)
    shapes: dict[str, tuple[Decoder, list[tuple[int, ...]]]] = {
        "simcc": (SimCCDecoder(), [(1, 17, 96), (1, 17, 128)]),
        "heatmap": (HeatmapDecoder(refine="dark"), [(1, 17, 16, 12)]),
        "rtmdet": (
            RTMDetDecoder(strides=(8, 16)),
            [(1, 2, 8, 6), (1, 2, 4, 3), (1, 4, 8, 6), (1, 4, 4, 3)],
        ),
        "associative": (AssociativeDecoder(), [(1, 34, 16, 12), (1, 17, 32, 24)]),
    }
    decoder, sizes = shapes[kind]
    return [random.uniform(0, 1, size).astype(np.float32) for size in sizes], decoder


@pytest.mark.emulation
@pytest.mark.skipif(not shutil.which("qemu-aarch64-static"), reason="qemu is not installed")
def test_an_arm_board_finds_the_same(shared_data: Path) -> None:
    program = ["qemu-aarch64-static", "-cpu", "cortex-a72", str(built_for("aarch64"))]
    out0, out1 = scene(5)
    assert_same_people(people_in(out0, out1, program), exactly(out0, out1, KEYPOINTS))
    for name in ("tinypose-128x96", "rtmdet-nano"):
        spec, run = trained_model(shared_data, name)
        assert spec.input is not None
        image = read_image(shared_data / "images" / "000000000785.jpg")
        outputs = run(prepare(image, spec.input)[0])
        wanted = decode(spec, dict(zip(spec.outputs, outputs, strict=True)))
        (line,) = decode_natively(program, spec, [outputs])
        if isinstance(wanted, Boxes):
            assert_same_boxes(line, wanted)
        else:
            assert_same_points(line, wanted)


def test_a_decoder_that_the_runner_does_not_have_is_refused(here: Sequence[str]) -> None:
    unknown: Any = "cubic"
    spec = model(HeatmapDecoder(refine=unknown), (64, 48))
    with pytest.raises(subprocess.CalledProcessError) as refused:
        decode_natively(here, spec, [_outputs_of("heatmap")[0]])
    assert refused.value.returncode == 10
    assert "no refinement 'cubic'" in refused.value.stderr


def test_a_proof_tells_the_points_in_what_the_runner_computed(native: Bundle, run: Run) -> None:
    spec = native.manifest.model
    done, folder = run(native, "prove", decoder=decoder_of(spec))
    assert done.returncode == 0, done.stderr
    lines = lines_of(folder)
    proofs = {line["case"]: line for line in lines if line["kind"] == "proof"}
    decoded = {line["case"]: line for line in lines if line["kind"] == "decoded"}
    assert set(decoded) == set(proofs)
    for case, proof in proofs.items():
        wanted = decode(spec, {proof["output"]: np.load(folder / proof["file"])})
        assert isinstance(wanted, Keypoints)
        assert_same_points(decoded[case], wanted)


@pytest.mark.parametrize("decoder", [None, {"kind": "heatmap"}, {"kind": "other"}, 7])
def test_stages_without_a_decoder_that_it_has_is_refused(
    native: Bundle, tmp_path: Path, decoder: Any
) -> None:
    plan = write_plan(native, tmp_path, "stages", decoder=decoder_of(native.manifest.model))
    if isinstance(decoder, dict):
        decoder = {name: plan["decoder"][name] for name in ("keypoints", "input")} | decoder
    (tmp_path / "plan.json").write_text(json.dumps(plan | {"decoder": decoder}))
    done = start(runner_of(native), tmp_path)
    assert done.returncode == 10, done.stderr
    assert lines_of(tmp_path)[-2]["kind"] == "error"
