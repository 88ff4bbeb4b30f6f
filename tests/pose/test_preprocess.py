from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepose.errors import UsageError
from edgepose.pose.preprocess import (
    crop_matrix,
    prepare,
    prepare_crops,
    read_image,
)
from edgepose.zoo import InputSpec

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "color": "bgr"}


def spec(fit: str, height: int = 64, width: int = 48, **rest: object) -> InputSpec:
    return InputSpec(height=height, width=width, fit=fit, **{**PLAIN, **rest})


@pytest.mark.parametrize("kind", ["std", "udp"])
def test_matrices_of_crops_equal_the_original_code(shared_data: Path, kind: str) -> None:
    reference = np.load(shared_data / "reference" / "post_affine.npz")
    boxes = reference["boxes_xyxy"].astype(np.float64)
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) * 1.25
    widths = np.maximum(sides[:, 0], sides[:, 1] * 192 / 256)
    crops = zip(centres.tolist(), widths.tolist(), reference["rots"].tolist(), strict=True)
    found = np.array(
        [crop_matrix(*crop, (192, 256), kind == "udp", degrees) for *crop, degrees in crops]
    )
    np.testing.assert_allclose(found, reference[f"{kind}_mats"], atol=1e-4)
    tops = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 1]], axis=-1)
    points = np.stack([boxes[:, :2], boxes[:, 2:], tops], axis=1)
    expected = reference[f"{kind}_kps"][:, 0]
    moved = points @ found[:, :, :2].swapaxes(1, 2) + found[:, None, :, 2]
    np.testing.assert_allclose(moved, expected, atol=1e-4)


@pytest.mark.parametrize(("kind", "fit"), [("std", "crop"), ("udp", "crop-udp")])
def test_crops_equal_the_original_code(shared_data: Path, kind: str, fit: str) -> None:
    reference = np.load(shared_data / "reference" / "post_affine.npz")
    image = read_image(shared_data / "images" / "000000197388.jpg")
    upright = np.flatnonzero(reference["rots"] == 0)
    assert len(upright) == 2
    boxes = reference["boxes_xyxy"][upright]
    tensors, placement = prepare_crops(image, spec(fit, 256, 192), boxes)
    crops = tensors.transpose(0, 2, 3, 1)
    assert np.abs(crops - reference[f"{kind}_crops"][upright]).max() <= 2
    for scale, shift, matrix in zip(
        placement.scale, placement.shift, reference[f"{kind}_mats"][upright], strict=True
    ):
        np.testing.assert_allclose(np.diag(scale[0]), matrix[:, :2], atol=1e-4)
        np.testing.assert_allclose(shift[0], matrix[:, 2], atol=1e-4)
    for box, tensor in zip(boxes, tensors, strict=True):
        np.testing.assert_array_equal(prepare(image, spec(fit, 256, 192), box)[0][0], tensor)


def test_points_of_crops_lead_back_as_in_the_original_code(shared_data: Path) -> None:
    reference = np.load(shared_data / "reference" / "post_affine.npz")
    image = read_image(shared_data / "images" / "000000197388.jpg")
    _, placement = prepare_crops(image, spec("crop", 256, 192), reference["boxes_xyxy"])
    found = placement.to_image(reference["inv_kp_in"])
    np.testing.assert_allclose(found, reference["inv_kp_out"], atol=1e-4)


def test_the_short_side_is_filled_as_in_the_original_code(shared_data: Path) -> None:
    with np.load(shared_data / "reference" / "post_ae_e2e.npz", allow_pickle=False) as data:
        table, columns = data["resize_table"], str(data["resize_table_cols"]).split()
    assert len(table) == 96
    for row in table:
        case = dict(zip(columns, row, strict=True))
        image = np.zeros((int(case["h"]), int(case["w"]), 3), np.uint8)
        _, placement = prepare(image, spec("short", int(case["out_h"]), int(case["out_w"])))
        matrix = np.column_stack([np.diag(placement.scale), placement.shift])
        np.testing.assert_allclose(matrix.ravel(), row[-6:], atol=1e-4)


@pytest.mark.parametrize("fit", ["letterbox", "center", "short", "stretch"])
def test_the_part_that_an_image_fills_is_where_its_corners_lie(fit: str) -> None:
    _, placement = prepare(np.zeros((30, 60, 3), np.uint8), spec(fit, 64, 96))
    corners = placement.to_input([[0, 0], [60, 30]]).ravel()
    limits = np.tile([96, 64], 2)
    assert placement.filled is not None
    np.testing.assert_allclose(placement.filled, np.clip(corners, 0, limits), atol=1e-9)


def test_a_crop_from_a_large_picture_is_the_same_as_from_a_small_part_of_it() -> None:
    """Large crops are warped from the whole image, small ones from a copy of their part."""
    random = np.random.default_rng(0)
    small = cv2.resize(random.integers(0, 255, (60, 40, 3), np.uint8), (600, 900))
    large = np.zeros((900, 1800, 3), np.uint8)
    large[:, :600] = small
    box = [100, 100, 500, 800]
    one, two = (prepare(image, spec("crop", 256, 192), box)[0] for image in (small, large))
    np.testing.assert_allclose(one, two, atol=1)


def test_a_crop_holds_a_quarter_more_than_the_box_and_centres_it() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    _, placement = prepare(image, spec("crop"), [60, 40, 100, 120])
    np.testing.assert_allclose(placement.to_input([80, 80]), [24, 32])
    np.testing.assert_allclose(placement.to_input([80, 40])[1], 32 - 64 / 1.25 / 2)


def test_a_crop_over_the_edge_is_filled_with_the_pad_value() -> None:
    image = np.full((100, 100, 3), 200, np.uint8)
    tensor, _ = prepare(image, spec("crop", pad=7.0), [-60, -60, 20, 20])
    assert tensor[0, 0, 0, 0] == 7
    assert tensor[0, 0, -1, -1] == 200


@pytest.mark.parametrize(
    ("fit", "left", "top", "right", "bottom"),
    [
        ("letterbox", 200, 200, 114, 114),
        ("center", 114, 114, 114, 114),
        ("stretch", 200, 200, 200, 200),
    ],
)
def test_each_fit_puts_its_padding_where_it_says(
    fit: str, left: float, top: float, right: float, bottom: float
) -> None:
    wide = np.full((20, 60, 3), 200, np.uint8)
    tall = np.full((60, 20, 3), 200, np.uint8)
    in_wide = prepare(wide, spec(fit, 64, 64, pad=114.0))[0][0, 0]
    in_tall = prepare(tall, spec(fit, 64, 64, pad=114.0))[0][0, 0]
    assert in_wide[0, 32] == top and in_wide[-1, 32] == bottom
    assert in_tall[32, 0] == left and in_tall[32, -1] == right
    assert in_wide[32 if fit == "center" else 5, 32] == 200


@given(
    st.sampled_from(["crop", "crop-udp", "letterbox", "center", "short", "stretch"]),
    st.integers(1, 300),
    st.integers(1, 300),
    st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)
def test_placement_leads_back_to_where_it_came_from(
    fit: str, height: int, width: int, point: tuple[float, float]
) -> None:
    _, placement = prepare(np.zeros((height, width, 3), np.uint8), spec(fit))
    np.testing.assert_allclose(placement.to_image(placement.to_input(point)), point, atol=1e-6)


@pytest.mark.parametrize("fit", ["crop", "crop-udp", "letterbox", "center", "stretch"])
def test_placement_finds_a_bright_spot_of_the_image_in_the_input(fit: str) -> None:
    image = np.zeros((240, 320, 3), np.uint8)
    cv2.circle(image, (200, 90), 12, (255, 255, 255), -1)
    tensor, placement = prepare(image, spec(fit, 128, 96))
    rows, columns = np.indices(tensor.shape[2:])
    weights = tensor[0, 0] / tensor[0, 0].sum()
    spot = [(columns * weights).sum(), (rows * weights).sum()]
    np.testing.assert_allclose(placement.to_input([200, 90]), spot, atol=0.6)


def test_channels_are_normalised_in_the_order_of_the_net() -> None:
    blue = np.zeros((8, 8, 3), np.uint8)
    blue[..., 0] = 100
    numbers = {"mean": (10.0, 20.0, 30.0), "std": (1.0, 2.0, 4.0)}
    bgr = prepare(blue, spec("stretch", **numbers))[0]
    rgb = prepare(blue, spec("stretch", **{**numbers, "color": "rgb"}))[0]
    np.testing.assert_allclose(bgr[0, :, 0, 0], [90, -10, -7.5])
    np.testing.assert_allclose(rgb[0, :, 0, 0], [-10, -10, 17.5])
    assert bgr.shape == (1, 3, 64, 48) and bgr.dtype == np.float32


@pytest.mark.parametrize("fit", ["letterbox", "center", "short"])
@pytest.mark.parametrize("shape", [(20, 60), (60, 20)])
def test_padding_is_normalised_like_pixels(fit: str, shape: tuple[int, int]) -> None:
    """An image of the padding's colour ends nowhere."""
    numbers = {"mean": (10.0, 20.0, 30.0), "std": (1.0, 2.0, 4.0), "pad": 114.0, "color": "rgb"}
    tensor, _ = prepare(np.full((*shape, 3), 114, np.uint8), spec(fit, 64, 64, **numbers))
    expected = np.array([104, 47, 21], np.float32)[:, None, None]
    np.testing.assert_allclose(tensor[0], np.broadcast_to(expected, (3, 64, 64)), rtol=1e-6)


def test_grey_and_alpha_images_give_what_their_colour_twin_gives() -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    colour = np.repeat(grey[..., None], 3, axis=2)
    alpha = np.concatenate([colour, np.zeros((8, 8, 1), np.uint8)], axis=2)
    expected = prepare(colour, spec("stretch"))[0]
    for image in (grey, grey[..., None], alpha):
        np.testing.assert_array_equal(prepare(image, spec("stretch"))[0], expected)


@pytest.mark.parametrize(
    "image",
    [np.zeros((8, 8, 3), np.float32), np.zeros((8, 8, 2), np.uint8), np.zeros((0, 8, 3), np.uint8)],
)
def test_what_is_not_an_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(UsageError, match="not an image"):
        prepare(image, spec("stretch"))


@pytest.mark.parametrize(
    "box",
    [
        [10, 10, 10, 20],
        [0, 0, float("nan"), 5],
        [1, 2, 3],
        [1e308, 0, 1.7e308, 1],
        [0, 0, 1e-320, 1e-320],
    ],
)
def test_a_box_without_an_area_is_refused(box: list[float]) -> None:
    with pytest.raises(UsageError, match="not a box"):
        prepare(np.zeros((50, 50, 3), np.uint8), spec("crop"), box)


def test_a_box_is_refused_where_the_net_sees_the_whole_image() -> None:
    with pytest.raises(UsageError, match="letterbox"):
        prepare(np.zeros((50, 50, 3), np.uint8), spec("letterbox"), [0, 0, 10, 10])


def test_files_of_every_kind_are_read_as_colour(tmp_path: Path) -> None:
    grey = np.full((6, 5), 50, np.uint8)
    deep = np.full((6, 5, 3), 50 * 257, np.uint16)
    alpha = np.full((6, 5, 4), 50, np.uint8)
    for name, image in (("grey.png", grey), ("deep.png", deep), ("alpha.png", alpha)):
        cv2.imwrite(str(tmp_path / name), image)
        read = read_image(tmp_path / name)
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, np.full((6, 5, 3), 50))


def test_files_that_are_no_images_are_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").touch()
    (tmp_path / "huge.pgm").write_bytes(b"P5 100000 100000 255 ")
    for name in ("text.png", "empty.png", "huge.pgm", "absent.png"):
        with pytest.raises(UsageError, match=name):
            read_image(tmp_path / name)
    with pytest.raises(UsageError, match="cannot be read"):
        read_image(tmp_path)
