"""Nets at work, on sessions of their own kind: from a picture to boxes or people."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from edgepose.engines.base import Tensors
from edgepose.errors import UsageError
from edgepose.pose.decode import Boxes, decode
from edgepose.pose.nets import BottomUp, Detector, TopDown
from edgepose.pose.nms import box_iou
from edgepose.pose.preprocess import prepare, read_image
from edgepose.pose.stages import Stages
from edgepose.zoo import (
    AssociativeDecoder,
    HeatmapDecoder,
    InputSpec,
    ModelSpec,
    SimCCDecoder,
    model_spec,
)
from tests.coco_ap import persons
from tests.trained_model import trained_model

Run = Callable[[NDArray[np.float32]], Sequence[NDArray[Any]]]


class HostSession:
    """A session over a function of the tensor; it counts how many tensors come at once."""

    def __init__(self, spec: ModelSpec, run: Run) -> None:
        self._names, self._run = spec.outputs, run
        self.batches: list[int] = []

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        (tensor,) = inputs.values()
        self.batches.append(len(tensor))
        return dict(zip(self._names, self._run(tensor), strict=True))


def trained(shared_data: Path, name: str) -> tuple[ModelSpec, HostSession]:
    spec, run = trained_model(shared_data, name)
    return spec, HostSession(spec, run)


def brightest(spec: ModelSpec) -> Run:
    """A net whose only key point is the brightest pixel of the crop."""

    def run(tensors: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        grey = tensors.mean(axis=1)
        x, y = grey.max(axis=1), grey.max(axis=2)
        return [np.repeat(each, 2, axis=-1)[:, None] for each in (x, y)]

    return run


def toy(**options: Any) -> tuple[TopDown, HostSession]:
    spec = ModelSpec(
        name="toy",
        family="onnx",
        task="top-down",
        input=InputSpec(height=64, width=48, fit="crop"),
        outputs=("x", "y"),
        decoder=SimCCDecoder(split=2.0),
        keypoints=1,
    )
    session = HostSession(spec, brightest(spec))
    return TopDown(spec, session, **options), session


def lights(*places: tuple[int, int]) -> NDArray[np.uint8]:
    image = np.zeros((300, 400, 3), np.uint8)
    for x, y in places:
        image[y - 1 : y + 2, x - 1 : x + 2] = 255
    return image


def test_the_detector_finds_what_its_decoder_finds(shared_data: Path) -> None:
    spec, session = trained(shared_data, "rtmdet-nano")
    truth = [np.array(box) for path, _, box in persons(shared_data) if "196141" in path.name]
    image = read_image(shared_data / "images" / "000000196141.jpg")
    found = Detector(spec, session).detect(image)
    assert isinstance(found, Boxes) and (found.classes == 0).all()
    assert box_iou(np.array(truth), found.boxes).max(axis=1).min() > 0.75
    assert spec.input is not None
    tensor, placement = prepare(image, spec.input)
    plain = decode(spec, session.run({"images": tensor}))
    assert isinstance(plain, Boxes)
    corners = placement.to_image(plain.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
    corners = np.clip(corners, 0, [640, 429, 640, 429])  # the image, not the padding around it
    np.testing.assert_allclose(found.boxes, corners, atol=1e-3)


def test_thresholds_of_the_detector_can_be_chosen(shared_data: Path) -> None:
    spec, session = trained(shared_data, "rtmdet-nano")
    image = read_image(shared_data / "images" / "000000196141.jpg")
    few, many = (Detector(spec, session, threshold=t).detect(image) for t in (0.6, 0.05))
    assert 0 < len(few.scores) < len(many.scores)
    assert few.scores.min() > 0.6 > 0.3 > many.scores.min() > 0.05
    doubles = Detector(spec, session, iou=1.0).detect(image)
    assert len(doubles.scores) > len(Detector(spec, session).detect(image).scores)


def test_other_classes_than_persons_are_left_out() -> None:
    spec = model_spec("rtmdet-s")
    outputs = [np.full((1, 80, s, s), -9, np.float32) for s in (80, 40, 20)]
    outputs += [np.full((1, 4, s, s), 20, np.float32) for s in (80, 40, 20)]
    outputs[0][0, 0, 10, 10], outputs[0][0, 7, 30, 30] = 2, 4
    found = Detector(spec, HostSession(spec, lambda _: outputs)).detect(lights())
    assert len(found.boxes) == 1
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp(-2)), rtol=1e-5)


def test_a_person_is_found_among_a_hundred_better_boxes_of_other_classes() -> None:
    spec = model_spec("rtmdet-s")
    outputs = [np.full((1, 80, s, s), -9, np.float32) for s in (80, 40, 20)]
    outputs += [np.full((1, 4, s, s), 20, np.float32) for s in (80, 40, 20)]
    for place in (10, 30):
        outputs[0][0, 1:, place, place] = 4
    outputs[0][0, 0, 10, 10] = 2
    found = Detector(spec, HostSession(spec, lambda _: outputs)).detect(lights())
    assert found.classes.tolist() == [0]


def test_a_detector_that_is_said_to_see_a_crop_finds_people_all_the_same() -> None:
    spec = model_spec("rtmdet-nano")
    assert spec.input is not None
    spec = msgspec.structs.replace(spec, input=msgspec.structs.replace(spec.input, fit="crop"))
    outputs = [np.full((1, 1, s, s), -9, np.float32) for s in (40, 20, 10)]
    outputs += [np.full((1, 4, s, s), 20, np.float32) for s in (40, 20, 10)]
    outputs[0][0, 0, 20, 20] = 2
    found = Detector(spec, HostSession(spec, lambda _: outputs)).detect(lights())
    assert len(found.boxes) == 1


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("flip", [True, False])
def test_a_bottom_up_model_says_how_its_people_are_grouped(exact: bool, flip: bool) -> None:
    """Two people, 2 apart in their tags, one of them at 0.5 and the other one at 0.9."""
    out0, out1 = np.zeros((1, 34, 64, 64), np.float32), np.zeros((1, 17, 128, 128), np.float32)
    for (y, x), value in (((30, 40), 0.5), ((90, 80), 0.9)):
        # Lopsided, for of equal cells side by side each is a peak.
        out1[0, :, y : y + 2, x : x + 2] = 2 * value * np.array([[1, 0.8], [0.7, 0]])
        # Each joint's is a little off, for who has the very same tag is the same person.
        tags = 4 * value + 0.001 * np.arange(17)[:, None, None]
        out0[0, 17:, y // 2 - 8 : y // 2 + 8] = tags

    def found(**settings: Any) -> int:
        decoder = AssociativeDecoder(**settings)
        spec = msgspec.structs.replace(model_spec("litepose-xs"), decoder=decoder)
        back = [out0[..., ::-1], out1[..., ::-1]]
        outputs = [np.concatenate(each) for each in zip([out0, out1], back, strict=True)]
        session = HostSession(spec, lambda tensors: [each[: len(tensors)] for each in outputs])
        batch = 2 if flip else 1
        return len(BottomUp(spec, session, exact=exact, flip=flip, batch=batch).estimate(lights()))

    assert found() == 2
    assert found(detection_threshold=0.7) == 1
    assert found(max_people=1) == 1
    assert found(tag_threshold=0.0) == 34


@pytest.mark.parametrize(("batch", "batches"), [(1, [1, 1, 1]), (2, [2, 2]), (4, [4]), (None, [3])])
def test_persons_go_through_the_net_as_many_at_once_as_it_takes(
    batch: int | None, batches: list[int]
) -> None:
    net, session = toy(batch=batch)
    image = lights((100, 100), (200, 150), (320, 210))
    boxes = np.array([[80, 80, 130, 120], [180, 120, 220, 190], [300, 190, 350, 260]])
    people = net.estimate(image, boxes)
    assert session.batches == batches
    for person, place in zip(people, [(100, 100), (200, 150), (320, 210)], strict=True):
        np.testing.assert_allclose(person.points, [place], atol=2)
    for person, box in zip(people, boxes, strict=True):
        np.testing.assert_array_equal(person.box, box)


def test_a_crowd_does_not_go_through_a_net_of_any_batch_all_at_once() -> None:
    net, session = toy(batch=None)
    assert len(net.estimate(lights(), np.tile([80, 80, 130, 120], (200, 1)))) == 200
    assert sum(session.batches) == 200
    assert max(session.batches) <= 8


def test_no_boxes_are_no_people_and_the_net_does_not_run() -> None:
    net, session = toy()
    assert net.estimate(lights(), np.zeros((0, 4))) == [] == net.estimate(lights(), [])
    assert session.batches == []


def test_a_person_scores_the_box_times_the_mean_of_the_points_above_a_fifth() -> None:
    net, _ = toy()
    spec = msgspec.structs.replace(net.spec, keypoints=3)
    x, y = np.zeros((1, 3, 96), np.float32), np.zeros((1, 3, 128), np.float32)
    x[0, :, 10] = y[0, :, 20] = 0.8, 0.4, 0.15
    session = HostSession(spec, lambda _: [x, y])
    (person,) = TopDown(spec, session).estimate(lights(), [[0, 0, 9, 9]], [0.5])
    assert person.score == pytest.approx(0.5 * 0.6)
    np.testing.assert_allclose(person.scores, [0.8, 0.4, 0.15])
    none = HostSession(spec, lambda _: [x * 0.1, y * 0.1])
    assert TopDown(spec, none).estimate(lights(), [[0, 0, 9, 9]])[0].score == 0


def test_the_flip_test_looks_twice_and_finds_the_same_place() -> None:
    net, session = toy(flip=True)
    image = lights((100, 100))
    (person,) = net.estimate(image, [[60, 60, 150, 160]])
    assert session.batches == [1, 1]
    np.testing.assert_allclose(person.points, [[100, 100]], atol=2)


def test_the_flip_test_does_not_hurt_real_poses(shared_data: Path) -> None:
    spec, session = trained(shared_data, "tinypose-256x192")
    box = [280, 42, 496, 378]
    image = read_image(shared_data / "images" / "000000000785.jpg")
    (plain,), (flipped,) = (
        TopDown(spec, session, flip=flip).estimate(image, [box]) for flip in (False, True)
    )
    sure = plain.scores > 0.5
    assert sure.sum() >= 12
    assert np.linalg.norm(plain.points - flipped.points, axis=1)[sure].mean() < 4


def test_udp_nets_take_udp_crops() -> None:
    """A peak in a cell of the heatmap stands for the same place of the picture."""
    spec = model_spec("rtmpose-t-pretrain")
    assert spec.input is not None and spec.input.fit == "crop-udp"
    assert isinstance(spec.decoder, HeatmapDecoder) and spec.decoder.refine == "udp"
    heatmaps = np.zeros((1, 17, 64, 48), np.float32)
    rows, columns = np.indices((64, 48))
    heatmaps[0] = np.exp(-((columns - 47 / 2) ** 2 + (rows - 63 / 2) ** 2) / 8)
    session = HostSession(spec, lambda _: [heatmaps])
    (person,) = TopDown(spec, session).estimate(lights(), [[100, 100, 190, 220]])
    np.testing.assert_allclose(person.points, [[145, 160]] * 17, atol=0.6)


def test_the_time_of_each_step_is_booked(shared_data: Path) -> None:
    image = read_image(shared_data / "images" / "000000000785.jpg")
    clock = Stages()
    boxes = Detector(*trained(shared_data, "rtmdet-nano")).detect(image, clock)
    assert clock.ms["detector"] > 0 and clock.ms["network"] == 0
    before = dict(clock.ms)
    TopDown(*trained(shared_data, "tinypose-128x96")).estimate(image, boxes.boxes, clock=clock)
    assert clock.ms["network"] > 0 and clock.ms["detector"] == before["detector"]
    assert clock.ms["preprocess"] > before["preprocess"] > 0
    assert clock.ms["decode"] > before["decode"] > 0


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (Detector, "rtmpose-t", "not a detector"),
        (TopDown, "rtmdet-nano", "one person at a time"),
        (BottomUp, "rtmpose-t", "not a bottom-up net"),
    ],
)
def test_a_net_in_another_ones_place_is_refused(kind: type, name: str, message: str) -> None:
    spec = model_spec(name)
    with pytest.raises(UsageError, match=message):
        kind(spec, HostSession(spec, lambda _: []))


def test_a_pose_net_that_sees_the_whole_image_is_refused_boxes() -> None:
    net, session = toy()
    assert net.spec.input is not None
    whole = msgspec.structs.replace(net.spec.input, fit="stretch")
    with pytest.raises(UsageError, match="crop"):
        TopDown(msgspec.structs.replace(net.spec, input=whole), session)
