"""Bottom-up from the picture to the people, against the whole chain of the original code."""

from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from edgepose.engines.base import Tensors
from edgepose.pose.decode.associative import people_in, people_in_both
from edgepose.pose.decode.flip import unflipped
from edgepose.pose.keypoint_sets import keypoint_set
from edgepose.pose.nets import BottomUp
from edgepose.pose.preprocess import read_image
from edgepose.zoo import InputSpec, ModelSpec, model_spec

PICTURE = "000000197388.jpg"


class Recorded:
    """Gives the reference's outputs, for the picture and then for the mirrored one."""

    def __init__(self, data: dict[str, NDArray[Any]]) -> None:
        self._outputs = [
            {"out0": data["out0"], "out1": data["out1"]},
            # The file has them turned back.
            {"out0": data["flip_out0"][..., ::-1], "out1": data["flip_out1"][..., ::-1]},
        ]
        self.seen: list[NDArray[np.float32]] = []

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        (tensor,) = inputs.values()
        self.seen.append(tensor)
        outputs: dict[str, NDArray[np.float32]] = self._outputs[len(self.seen) - 1]
        return outputs


def wide() -> ModelSpec:
    """LitePose-XS with the input that the reference has for its picture."""
    spec = model_spec("litepose-xs")
    assert spec.input is not None
    size = msgspec.structs.asdict(spec.input) | {"height": 128, "width": 256, "fit": "short"}
    return msgspec.structs.replace(spec, input=InputSpec(**size))


def recorded(shared_data: Path) -> dict[str, NDArray[Any]]:
    with np.load(shared_data / "reference" / "post_ae_e2e.npz", allow_pickle=False) as data:
        return dict(data)


def enlarged(maps: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    return np.stack([cv2.resize(each, (width, height)) for each in maps[0]])[None]


def test_a_picture_gives_the_people_of_the_original_code(shared_data: Path) -> None:
    data = recorded(shared_data)
    # The file has the coarse maps of the mirrored picture enlarged: then those of the picture too.
    session = Recorded(data | {"out0": enlarged(data["out0"], *data["out1"].shape[2:])})
    net = BottomUp(wide(), session, exact=True, flip=True)
    people = net.estimate(read_image(shared_data / "images" / PICTURE))
    np.testing.assert_allclose(session.seen[0][0], data["net_in"], atol=1e-4)
    np.testing.assert_allclose(session.seen[1][0], data["net_in"][..., ::-1], atol=1e-4)
    assert len(people) == len(data["scores"]) == 30
    for person, final, score in zip(people, data["final"], data["scores"], strict=True):
        np.testing.assert_allclose(person.points, final[:, :2], atol=1e-4)
        np.testing.assert_allclose(person.scores, final[:, 2], atol=1e-4)
        np.testing.assert_allclose(person.score, score, atol=1e-4)


@pytest.mark.parametrize("exact", [True, False])
def test_a_mirrored_look_that_sees_the_same_changes_nothing(shared_data: Path, exact: bool) -> None:
    data = recorded(shared_data)
    outputs = [data["out0"], data["out1"]]
    mirrored = keypoint_set(wide()).mirrored
    both = [*mirrored, *(17 + index for index in mirrored)]
    flipped = [unflipped(outputs[0], both), unflipped(outputs[1], mirrored)]
    once = people_in(outputs, 17, exact=exact)
    twice = people_in_both(outputs, flipped, mirrored, exact=exact)
    assert len(once.scores) >= 10
    np.testing.assert_allclose(np.sort(twice.scores), np.sort(once.scores), atol=1e-3)


def test_people_lie_in_the_picture_however_it_was_fitted(shared_data: Path) -> None:
    """The same outputs, seen as those of a picture that is twice as large."""
    data = recorded(shared_data)
    image = read_image(shared_data / "images" / PICTURE)
    double = cv2.resize(image, None, fx=2, fy=2)
    small, large = (BottomUp(wide(), Recorded(data)).estimate(each) for each in (image, double))
    assert len(small) == len(large) > 0
    for one, two in zip(small, large, strict=True):
        np.testing.assert_allclose(two.points, one.points * 2, atol=1e-6)
        seen = one.points[one.scores > 0]
        assert (one.box[:2] >= seen.min(axis=0) - 1e-9).all()
        assert (one.box[2:] <= seen.max(axis=0) + 1e-9).all()
