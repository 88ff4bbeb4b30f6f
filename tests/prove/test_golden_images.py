import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgepose.errors import UsageError
from edgepose.pose.decode import Boxes, Keypoints, decode
from edgepose.pose.nms import box_iou
from edgepose.pose.preprocess import prepare, read_image
from edgepose.prove import golden_images
from edgepose.prove.golden_images import golden_cases, seeded_case
from edgepose.prove.render import SCENES, Picture, render
from edgepose.zoo import InputSpec
from tests.trained_model import trained_model

ROOT = Path(__file__).parent.parent.parent
GOLDEN = Path(golden_images.__file__).parent / "golden"
NAMES = [scene.name for scene in SCENES]
CROP = InputSpec(height=256, width=192, fit="crop")
WHOLE = InputSpec(height=320, width=320, fit="letterbox", pad=114.0)


@pytest.fixture(scope="module")
def pictures() -> dict[str, Picture]:
    return {scene.name: render(scene) for scene in SCENES}


def test_shipped_pictures_are_what_the_renderer_draws(pictures: dict[str, Picture]) -> None:
    """Versions of OpenCV may differ by a grey level and at single edge pixels."""
    assert sorted(path.stem for path in GOLDEN.glob("*.png")) == sorted(NAMES)
    for name, picture in pictures.items():
        shipped = read_image(GOLDEN / f"{name}.png")
        difference = np.abs(shipped.astype(int) - picture.image)
        assert (difference > 2).mean() < 0.001


def test_shipped_boxes_are_those_of_the_drawn_persons(pictures: dict[str, Picture]) -> None:
    boxes = {path.stem: of for path, of in golden_images.shipped_pictures().items()}
    assert list(boxes) == NAMES
    for name, picture in pictures.items():
        np.testing.assert_allclose(boxes[name], picture.boxes, atol=1)


def test_drawn_joints_lie_within_the_drawn_person(pictures: dict[str, Picture]) -> None:
    assert [len(picture.boxes) for picture in pictures.values()] == [1, 1, 2]
    for picture in pictures.values():
        for box, joints in zip(picture.boxes, picture.joints, strict=True):
            assert joints.shape == (17, 2)
            assert (joints > box[:2]).all() and (joints < box[2:]).all()


def test_shipped_pictures_are_small() -> None:
    sizes = [path.stat().st_size for path in GOLDEN.glob("*.png")]
    assert max(sizes) < 150_000 and sum(sizes) < 400_000


def test_the_script_writes_the_shipped_files_again(tmp_path: Path) -> None:
    """Run from elsewhere, where it writes beside itself and not over the shipped files."""
    script = tmp_path / "scripts" / "render-golden"
    script.parent.mkdir()
    script.write_bytes((ROOT / "scripts" / "render-golden").read_bytes())
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, str(script)], check=True, timeout=120, env=environment)
    made = tmp_path / "edgepose" / "prove" / "golden"
    assert (made / "golden.toml").read_text() == (GOLDEN / "golden.toml").read_text()
    assert sorted(p.name for p in made.iterdir()) == sorted(p.name for p in GOLDEN.iterdir())


def test_the_detector_sees_every_drawn_person(
    shared_data: Path, pictures: dict[str, Picture]
) -> None:
    spec, run = trained_model(shared_data, "rtmdet-nano")
    assert spec.input is not None
    for picture in pictures.values():
        tensor, placement = prepare(picture.image, spec.input)
        found = decode(spec, dict(zip(spec.outputs, run(tensor), strict=True)))
        assert isinstance(found, Boxes)
        boxes = placement.to_image(found.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
        assert len(boxes) == len(picture.boxes) and (found.scores > 0.5).all()
        assert (box_iou(picture.boxes, boxes).max(axis=1) > 0.8).all()


@pytest.mark.parametrize("name", ["tinypose-256x192", "tinypose-128x96"])
def test_the_pose_net_sees_the_joints_where_they_are_drawn(
    shared_data: Path, pictures: dict[str, Picture], name: str
) -> None:
    spec, run = trained_model(shared_data, name)
    assert spec.input is not None
    for picture in pictures.values():
        for box, joints in zip(picture.boxes, picture.joints, strict=True):
            tensor, placement = prepare(picture.image, spec.input, box)
            found = decode(spec, dict(zip(spec.outputs, run(tensor), strict=True)))
            assert isinstance(found, Keypoints)
            assert (found.scores > 0.3).all()
            distances = np.linalg.norm(placement.to_image(found.points) - joints, axis=-1)
            height = box[3] - box[1]
            assert distances.mean() < 0.02 * height and distances.max() < 0.06 * height


def test_a_net_of_single_persons_gets_the_first_person_of_each_picture(
    pictures: dict[str, Picture],
) -> None:
    cases = golden_cases(CROP)
    assert [case.name for case in cases] == NAMES
    for case in cases:
        picture = pictures[case.name]
        expected, _ = prepare(picture.image, CROP, picture.boxes[0])
        assert case.tensor.shape == (1, 3, 256, 192) and case.tensor.dtype == np.float32
        assert np.abs(case.tensor - expected).mean() < 1 / 255


def test_other_nets_get_the_whole_picture(pictures: dict[str, Picture]) -> None:
    for case in golden_cases(WHOLE):
        expected, _ = prepare(pictures[case.name].image, WHOLE)
        assert np.abs(case.tensor - expected).mean() < 1 / 255


@pytest.mark.parametrize("spec", [CROP, WHOLE])
def test_the_callers_images_follow_in_the_order_of_their_names(
    tmp_path: Path, spec: InputSpec
) -> None:
    for name, grey in (("b b;$(x).PNG", 20), ("a.jpg", 200), ("a.jpeg", 120)):
        cv2.imwrite(str(tmp_path / name), np.full((90, 60, 3), grey, np.uint8))
    (tmp_path / "notes.txt").write_text("not an image")
    extra = golden_cases(spec, tmp_path)[len(NAMES) :]
    assert [case.name for case in extra] == ["own-1-a", "own-2-a", "own-3-b-b-x-"]
    middles = [case.tensor[0, 0, 100, 90] * 255 for case in extra]
    np.testing.assert_allclose(middles, [120, 200, 20], atol=2)


def test_folders_without_usable_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a folder"):
        golden_cases(WHOLE, tmp_path / "absent")
    with pytest.raises(UsageError, match="holds no image"):
        golden_cases(WHOLE, tmp_path)
    (tmp_path / "broken.png").write_text("hello")
    with pytest.raises(UsageError, match=r"broken\.png"):
        golden_cases(WHOLE, tmp_path)


def test_seeded_noise_is_the_same_every_time_and_normal() -> None:
    case, again = seeded_case((1, 3, 64, 48)), seeded_case((1, 3, 64, 48))
    np.testing.assert_array_equal(case.tensor, again.tensor)
    assert case.tensor.shape == (1, 3, 64, 48) and case.tensor.dtype == np.float32
    assert abs(case.tensor.mean()) < 0.05 and abs(case.tensor.std() - 1) < 0.05
