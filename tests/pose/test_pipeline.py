"""From frames to people: real nets on films made of photographs, and a stage for the rules."""

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

import edgepose
from edgepose.build import build
from edgepose.bundle import Bundle
from edgepose.errors import UsageError
from edgepose.pose.nets import BottomUp, Detector, TopDown
from edgepose.pose.people import Person
from edgepose.pose.pipeline import Pipeline, PipelineSettings
from edgepose.pose.preprocess import read_image
from edgepose.zoo import model_spec
from tests.pose.films import SHAPE, Stage, likeness, pan, true_poses
from tests.trained_model import EXAMPLES, trained_model

NAMES = ("tinypose-256x192", "rtmdet-nano")


@pytest.fixture(scope="module")
def bundles(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Bundle, Bundle]]:
    """Pose net and detector by recipe."""
    folder = tmp_path_factory.mktemp("bundles")
    for name in NAMES:
        shutil.copy(shared_data / "models" / f"{name}.onnx", folder)
        shutil.copy(EXAMPLES / f"{name}.toml", folder)

    @cache
    def both(recipe: str) -> tuple[Bundle, Bundle]:
        pose, detector = (
            build(str(folder / f"{name}.onnx"), "host", recipe, into=folder / f"{name}-{recipe}")
            for name in NAMES
        )
        return pose, detector

    return both


def real(shared_data: Path, **settings: Any) -> Pipeline:
    """TinyPose behind RTMDet-nano on onnxruntime, as they are."""

    class Session:
        def __init__(self, name: str) -> None:
            self.spec, self._run = trained_model(shared_data, name)

        def run(self, inputs: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
            return dict(zip(self.spec.outputs, self._run(*inputs.values()), strict=True))

    pose, detector = (Session(name) for name in NAMES)
    return Pipeline(
        TopDown(pose.spec, pose), Detector(detector.spec, detector), PipelineSettings(**settings)
    )


def staged(stage: Stage, alone: bool = False, **settings: Any) -> Pipeline:
    pose, detector = cast(TopDown, stage), cast(Detector, stage)
    return Pipeline(pose, None if alone else detector, PipelineSettings(**settings))


@pytest.mark.parametrize("recipe", ["onnxruntime-fp32", "ncnn-fp32"])
def test_bundles_of_any_engine_find_the_four_people_of_a_photograph(
    shared_data: Path, bundles: Callable[[str], tuple[Bundle, Bundle]], recipe: str
) -> None:
    pose, detector = bundles(recipe)
    pipeline = edgepose.Pipeline.from_bundles(pose, detector)
    frame = pipeline.process(read_image(shared_data / "images" / "000000196141.jpg"))
    assert frame.detected and len(frame.people) == 4
    assert [person.id for person in frame.people] == [1, 2, 3, 4]
    scores = [person.score for person in frame.people]
    assert scores == sorted(scores, reverse=True)
    truth, still = true_poses(shared_data, 196141), np.eye(3)[:2]
    alike = sorted(likeness(frame.people, each, still)[0] for each in truth)
    assert len([each for each in alike if each > 0.75]) >= 3
    assert all(ms > 0 for ms in frame.stages_ms.values())


def test_bundles_in_each_others_place_are_refused(
    bundles: Callable[[str], tuple[Bundle, Bundle]],
) -> None:
    pose, detector = bundles("onnxruntime-fp32")
    with pytest.raises(UsageError, match="not a detector"):
        Pipeline.from_bundles(pose, pose)
    with pytest.raises(UsageError, match="one person at a time"):
        Pipeline.from_bundles(detector, detector)


@pytest.mark.parametrize("name", ["000000000785", "000000040083"])
def test_people_of_a_film_keep_their_ids(shared_data: Path, name: str) -> None:
    pipeline = real(shared_data, detect_every=5)
    truth = true_poses(shared_data, int(name))
    seen: list[set[int | None]] = [set() for _ in truth]
    for picture, moved in pan(shared_data / "images" / f"{name}.jpg", 20):
        people = pipeline.process(picture).people
        for ids, each in zip(seen, truth, strict=True):
            alike, number = likeness(people, each, moved)
            assert alike > 0.5
            ids.add(number)
    assert sorted(map(list, seen)) == [[index + 1] for index in range(len(truth))]


def test_a_detector_every_tenth_frame_loses_nothing(shared_data: Path) -> None:
    """Mean OKS with the annotations, over a film, against a detector in every frame."""
    often, seldom = real(shared_data), real(shared_data, detect_every=10)
    alike: dict[int, list[float]] = {1: [], 10: []}
    detected = []
    for name in ("000000000785", "000000040083"):
        for pipeline in (often, seldom):
            pipeline.reset()
        for picture, moved in pan(shared_data / "images" / f"{name}.jpg", 20):
            frames = {1: often.process(picture), 10: seldom.process(picture)}
            detected.append(frames[10].detected)
            for truth in true_poses(shared_data, int(name)):
                for every, frame in frames.items():
                    alike[every].append(likeness(frame.people, truth, moved)[0])
    assert detected == ([True] + [False] * 9) * 4
    assert np.mean(alike[1]) > 0.9
    assert np.mean(alike[10]) > np.mean(alike[1]) - 0.01


def test_one_person_is_followed_without_a_detector(shared_data: Path) -> None:
    both = real(shared_data)
    pipeline = Pipeline(both.pose)
    (truth,) = true_poses(shared_data, 785)
    alike = []
    for picture, moved in pan(shared_data / "images" / "000000000785.jpg", 10):
        frame = pipeline.process(picture)
        assert not frame.detected and len(frame.people) == 1
        alike.append(likeness(frame.people, truth, moved)[0])
    assert min(alike[1:]) > 0.85  # from the second frame on, which looks at where he was


def test_grey_and_transparent_frames_are_taken(shared_data: Path) -> None:
    pipeline = real(shared_data)
    image = read_image(shared_data / "images" / "000000000785.jpg")
    clear = np.concatenate([image, np.zeros_like(image[:, :, :1])], axis=2)
    grey = image.mean(axis=2).astype(np.uint8)
    (plain,) = pipeline.process(image).people
    pipeline.reset()
    (same,) = pipeline.process(clear).people
    np.testing.assert_array_equal(plain.points, same.points)
    pipeline.reset()
    (almost,) = pipeline.process(grey).people
    assert np.linalg.norm(almost.points - plain.points, axis=1).mean() < 10


@pytest.mark.parametrize(
    "frame", [np.zeros((0, 0, 3), np.uint8), np.zeros((9, 9, 3), np.float32), np.zeros(9, np.uint8)]
)
def test_what_is_not_an_image_is_refused(frame: NDArray[Any]) -> None:
    stage = Stage([(100, 100)])
    pipeline = staged(stage)
    pipeline.process(stage.image)
    with pytest.raises(UsageError, match="not an image"):
        pipeline.process(frame)
    assert pipeline.process(stage.image).people[0].id == 1  # and the film goes on


def test_the_detector_runs_every_few_frames_and_as_soon_as_all_are_lost() -> None:
    stage = Stage([(100, 100)])
    pipeline = staged(stage, detect_every=5)
    assert [pipeline.process(stage.image).detected for _ in range(7)] == [
        *(True, False, False, False, False),
        *(True, False),
    ]
    stage.places = []
    assert pipeline.process(stage.image).people == ()
    assert [pipeline.process(stage.image).detected for _ in range(3)] == [True] * 3
    stage.places = [(300, 200)]
    assert [pipeline.process(stage.image).detected for _ in range(3)] == [True, False, False]


def test_between_detections_the_net_looks_at_where_people_will_be() -> None:
    stage = Stage([(50, 100)])
    pipeline = staged(stage, detect_every=20)
    for number in range(12):
        stage.places = [(50 + 20 * number, 100)]  # half of his width each frame
        (person,) = pipeline.process(stage.image).people
        assert person.id == 1
    middle = (stage.boxes[-1][0, 0] + stage.boxes[-1][0, 2]) / 2
    assert middle == pytest.approx(50 + 20 * 11 + 20, abs=5)


def test_who_the_detector_misses_once_is_still_followed() -> None:
    stage = Stage([(50, 100), (300, 100)])
    pipeline = staged(stage, detect_every=2)
    pipeline.process(stage.image)
    pipeline.process(stage.image)
    found = stage.detect
    stage.detect = lambda *_: _only_first(found(stage.image))  # type: ignore[method-assign]
    frame = pipeline.process(stage.image)
    assert frame.detected and sorted(person.id or 0 for person in frame.people) == [1, 2]


def test_who_is_behind_somebody_the_detector_finds_is_still_followed() -> None:
    stage = Stage([(100, 100), (115, 100)])
    pipeline = staged(stage, detect_every=2)
    pipeline.process(stage.image)
    found = stage.detect
    stage.detect = lambda *_: _only_first(found(stage.image))  # type: ignore[method-assign]
    for _ in range(6):
        frame = pipeline.process(stage.image)
        assert sorted(person.id or 0 for person in frame.people) == [1, 2]


def _only_first(boxes: Any) -> Any:
    return type(boxes)(boxes.boxes[:1], boxes.scores[:1], boxes.classes[:1])


def test_nobody_and_two_hundred_people_are_fine() -> None:
    stage = Stage([])
    pipeline = staged(stage)
    assert pipeline.process(stage.image).people == ()
    grid = [(x, y) for x in range(0, 1200, 60) for y in range(0, 1200, 120)]
    stage.places = [(float(x), float(y)) for x, y in grid]
    assert len(grid) == 200
    first, second = (pipeline.process(stage.image).people for _ in range(2))
    assert sorted(person.id or 0 for person in first) == list(range(1, 201))
    places = {person.id: person.points for person in first}
    assert all((places[person.id] == person.points).all() for person in second)


def test_the_same_person_in_two_boxes_is_found_once() -> None:
    stage = Stage([(100, 100), (100.5, 100.5)])
    assert len(staged(stage).process(stage.image).people) == 1
    assert len(staged(stage, pose_oks=1.0).process(stage.image).people) == 2


def test_who_shows_less_than_a_quarter_of_his_points_is_nobody() -> None:
    stage = Stage([(100, 100)])
    person = stage.estimate(stage.image, np.array([[90.0, 90, 150, 210]]))[0]
    for shown, expected in ((4, 1), (3, 0)):
        person.scores[:] = [0.8] * shown + [0.1] * (17 - shown)
        stage.estimate = lambda *_: [person]  # type: ignore[method-assign]
        assert len(staged(stage).process(stage.image).people) == expected


def test_of_whole_body_nets_body_and_feet_tell_who_is_somebody() -> None:
    stage = Stage([(100, 100)], spec=model_spec("rtmpose-t-wholebody"))
    points = np.random.default_rng(0).uniform(100, 200, (133, 2))
    for shown, expected in ((6, 1), (5, 0)):
        scores = np.array([0.8] * shown + [0.1] * (133 - shown), np.float32)
        person = Person(points, scores, np.array([100.0, 100, 200, 200]), 0.8)
        stage.estimate = lambda *_, person=person: [person]  # type: ignore[method-assign]
        assert len(staged(stage).process(stage.image).people) == expected


def test_without_tracking_people_have_no_ids_and_are_as_the_net_sees_them() -> None:
    stage = Stage([(100, 100)])
    for every in (1, 3):
        pipeline = staged(stage, track=False, detect_every=every)
        for number in range(5):
            stage.places = [(100.0 + number, 100.0)]
            (person,) = pipeline.process(stage.image).people
            assert person.id is None
            np.testing.assert_array_equal(person.points, stage.figures()[0])


def test_a_frame_of_another_size_begins_anew_and_ids_go_on() -> None:
    stage = Stage([(100, 100)])
    pipeline = staged(stage, detect_every=10)
    for _ in range(3):
        assert pipeline.process(stage.image).people[0].id == 1
    larger = np.zeros((SHAPE[0] * 2, SHAPE[1] * 2, 3), np.uint8)
    frame = pipeline.process(larger)
    assert frame.detected and frame.people[0].id == 2


def test_a_reset_begins_another_film() -> None:
    stage = Stage([(100, 100)])
    pipeline = staged(stage, detect_every=10)
    for _ in range(2):
        assert [each[0].id for each in pipeline([stage.image] * 3)] == [1, 1, 1]
        pipeline.reset()
    assert stage.looks == 2


@pytest.mark.parametrize("times", [[0, 0, 0], [5, 3, 1], [0, 1e-9, 100], [7, None, 7]])
def test_times_that_stand_still_go_back_or_jump_are_taken(times: list[float | None]) -> None:
    stage = Stage([(100, 100)])
    pipeline = staged(stage)
    for time_s in times:
        (person,) = pipeline.process(stage.image, time_s).people
        assert person.id == 1
        np.testing.assert_allclose(person.points, stage.figures()[0], atol=1e-6)


def test_a_detector_before_a_bottom_up_net_is_refused() -> None:
    class Silent:
        def run(self, inputs: object) -> dict[str, NDArray[np.float32]]:
            return {}

    net = BottomUp(model_spec("litepose-xs"), Silent())
    with pytest.raises(UsageError, match="by itself"):
        Pipeline(net, cast(Detector, Stage([])))


def test_a_bottom_up_net_finds_and_follows_people_by_itself() -> None:
    """Made-up maps: one person whose joints are peaks with one tag."""
    spec = model_spec("litepose-xs")
    out0, out1 = np.zeros((1, 34, 64, 64), np.float32), np.zeros((1, 17, 128, 128), np.float32)
    rows, columns = np.indices((128, 128))
    for joint in range(17):
        x, y = 40 + joint * 3, 20 + joint * 5
        out1[0, joint] = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)
    out0[:, :17] = (out1[:, :, ::2, ::2] + out1[:, :, 1::2, 1::2]) / 2

    class Fixed:
        def run(self, inputs: object) -> dict[str, NDArray[np.float32]]:
            return {"out0": out0, "out1": out1}

    pipeline = Pipeline(BottomUp(spec, Fixed()))
    for _ in range(3):
        (person,) = pipeline.process(np.zeros((256, 256, 3), np.uint8)).people
        assert person.id == 1
        np.testing.assert_allclose(person.points[0], [81, 41], atol=1)
    assert spec.input is not None and spec.input.width == 256


def test_a_bundle_that_does_not_tell_its_task_is_taken_by_its_decoder() -> None:
    spec = msgspec.structs.replace(model_spec("litepose-xs"), task="unknown")
    tensor = SimpleNamespace(name="input", shape=(1, 3, 256, 256))
    artifact = SimpleNamespace(any_batch=False)
    manifest = SimpleNamespace(model=spec, inputs=(tensor,), artifact=artifact)
    bundle = SimpleNamespace(manifest=manifest, session=lambda threads: None)
    assert isinstance(Pipeline.from_bundles(cast(Bundle, bundle)).pose, BottomUp)


def test_a_detector_that_never_runs_is_refused() -> None:
    with pytest.raises(UsageError, match="every 0 frames"):
        PipelineSettings(detect_every=0)
