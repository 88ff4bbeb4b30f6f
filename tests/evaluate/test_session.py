"""Whole evaluations: real nets on the reference photographs, and what does not fit together."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from edgepose.bundle import Bundle
from edgepose.engines.base import Tensors
from edgepose.errors import UsageError
from edgepose.evaluate import session
from edgepose.evaluate.demand import Demand
from edgepose.evaluate.progress import Progress
from edgepose.evaluate.record import Evaluation
from edgepose.evaluate.session import Site, evaluate
from edgepose.zoo import AssociativeDecoder, InputSpec
from tests.evaluate.conftest import BundleOf
from tests.evaluate.files import coco, mpii, save
from tests.own_cache import own_cache

ROOT = Path(__file__).parents[2]
POSE_NET, SMALL_NET, DETECTOR = "tinypose-256x192", "tinypose-128x96", "rtmdet-nano"
ENGINES = ("onnxruntime-fp32", "openvino-fp32", "ncnn-fp32")

DemandOf = Callable[..., Demand]


@pytest.fixture
def demand(
    shared_data: Path,
    trained_bundle: BundleOf,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> DemandOf:
    """The four photographs for a net, with nothing known of them yet."""
    monkeypatch.setenv("EDGEPOSE_CACHE", own_cache(tmp_path / "cache"))
    folder = shared_data / "images"

    def demand(name: str = SMALL_NET, recipe: str = ENGINES[0], **changes: Any) -> Demand:
        return Demand(
            **{
                "bundle": trained_bundle(name, recipe),
                "dataset": "coco",
                "images": folder,
                "annotations": folder / "test_coco.json",
                **changes,
            }
        )

    return demand


def same(first: Evaluation, second: Evaluation) -> bool:
    """Whether two evaluations say the same, whenever they were made."""

    def bare(each: Evaluation) -> Evaluation:
        return msgspec.structs.replace(each, evaluation_id="", created_at="")

    return bare(first) == bare(second)


@pytest.mark.parametrize("recipe", ENGINES)
def test_tinypose_is_right_in_annotated_and_in_detected_boxes(
    demand: DemandOf, trained_bundle: BundleOf, recipe: str
) -> None:
    within = evaluate(demand(POSE_NET, recipe))
    detector = trained_bundle(DETECTOR, recipe)
    behind = evaluate(demand(POSE_NET, recipe, detector=detector))
    assert (within.metric, within.value) == ("AP", within.scores["all"]["AP"])
    assert within.computed_in == ("fp32" if recipe.startswith("openvino") else None)
    assert (within.value or 0) >= 0.82
    assert (behind.value or 0) >= 0.80
    assert (within.images, within.people, within.found) == (4, 12, 12)
    assert (within.boxes, behind.boxes, behind.detector) == ("truth", "detector", DETECTOR)
    assert behind.detector_bundle_id == detector.manifest.bundle_id


def test_a_file_of_detections_gives_the_boxes(demand: DemandOf, shared_data: Path) -> None:
    path = shared_data / "images" / "test_coco_det_AP_H_56.json"
    found = evaluate(demand(POSE_NET, detections=path))
    assert found.boxes == "detections"
    assert found.boxes_sha256
    assert (found.value or 0) > 0.75
    # Its 118 boxes, many of them of one person, are fewer once doubles are gone.
    assert 12 <= found.found < 118


def test_a_flip_test_sees_everything_twice_and_is_another_evaluation(demand: DemandOf) -> None:
    plain, flipped = evaluate(demand()), evaluate(demand(flip=True))
    assert flipped.flip and not plain.flip
    assert plain.value != flipped.value
    assert (flipped.value or 0) > (plain.value or 0) - 0.03


def test_a_limit_evaluates_the_first_images_and_says_so(demand: DemandOf) -> None:
    found = evaluate(demand(limit=2))
    assert (found.images, found.partial) == (2, True)
    whole = evaluate(demand(limit=4))
    assert (whole.images, whole.partial) == (4, False)


def test_what_is_known_is_not_found_again(demand: DemandOf) -> None:
    def never() -> Any:
        raise AssertionError("the net was asked for")

    first = evaluate(demand())
    told: list[Progress] = []
    again = evaluate(demand(), Site(None, never), told.append)
    assert same(first, again)
    assert [(each.done, each.known, each.total) for each in told] == [(4, 4, 4)]


def test_an_image_that_changed_is_looked_at_again(
    demand: DemandOf, shared_data: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(shared_data / "images", tmp_path / "images"))
    asked = demand(images=folder)
    first = evaluate(asked)
    image = folder / "000000000785.jpg"
    shutil.copy(folder / "000000040083.jpg", image)
    told: list[Progress] = []
    second = evaluate(asked, watch=told.append)
    assert told[0].known == 3
    assert second.images_sha256 != first.images_sha256
    assert second.value != first.value


def test_what_another_runtime_found_is_found_again(
    demand: DemandOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evaluate(demand())
    assert {"numpy", "onnxruntime", "faster-coco-eval"} <= set(first.versions)
    monkeypatch.setattr(session, "package_version", lambda name: "99")
    told: list[Progress] = []
    second = evaluate(demand(), watch=told.append)
    assert (told[0].known, told[-1].done) == (0, 4)
    assert (second.versions["onnxruntime"], second.scores) == ("99", first.scores)


class _Together:
    """A session that gets its inputs several at a time, and remembers how many."""

    at_once = 5
    computed_in: str | None = None

    def __init__(self, bundle: Bundle) -> None:
        self._session, self.sizes = bundle.session(), list[int]()

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        return self._session.run(inputs)

    def run_many(self, inputs: Sequence[Tensors]) -> list[dict[str, NDArray[np.float32]]]:
        self.sizes.append(len(inputs))
        return [self._session.run(each) for each in inputs]


@pytest.mark.parametrize("flip", [False, True])
def test_inputs_of_several_images_can_be_handed_over_together(demand: DemandOf, flip: bool) -> None:
    asked = demand(flip=flip)
    together = _Together(asked.bundle)
    found = evaluate(asked, Site("board", lambda: nullcontext(together)))
    assert found.device == "board"
    assert sum(together.sizes) == (24 if flip else 12)
    assert len(together.sizes) < 4 and max(together.sizes) >= together.at_once
    assert found.scores == evaluate(asked).scores


def test_a_device_that_computes_in_another_precision_is_told(
    demand: DemandOf, caplog: pytest.LogCaptureFixture
) -> None:
    asked = demand()
    other = _Together(asked.bundle)
    other.computed_in = "bf16"  # of a recipe for fp32
    found = evaluate(asked, Site("board", lambda: nullcontext(other)))
    assert found.computed_in == "bf16"
    assert "on board the runtime was told to compute in fp32" in caplog.text


_SLOWLY = """
import sys, time
from pathlib import Path
import edgepose.evaluate.session as session
from edgepose.bundle import load_bundle
from edgepose.evaluate.demand import Demand

read = session.image_bytes
def slowly(path):
    print("image", flush=True)
    time.sleep(0.5)
    return read(path)
session.image_bytes = slowly

folder = Path(sys.argv[2])
session.evaluate(Demand(bundle=load_bundle(sys.argv[1]), dataset="coco", images=folder,
                        annotations=folder / "test_coco.json"))
"""


def test_a_killed_evaluation_goes_on_and_says_the_same(demand: DemandOf) -> None:
    asked = demand()
    words = [sys.executable, "-c", _SLOWLY, str(asked.bundle.folder), str(asked.images)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT) as child:
        assert child.stdout
        for _ in range(3):
            assert child.stdout.readline() == b"image\n"  # the third is being read
        os.kill(child.pid, signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    told: list[Progress] = []
    resumed = evaluate(asked, watch=told.append)
    assert (told[0].known, told[-1].done) == (2, 4)
    os.environ["EDGEPOSE_CACHE"] += "-fresh"
    assert same(resumed, evaluate(asked))


def test_half_a_line_of_a_killed_writer_is_cut_off(demand: DemandOf, tmp_path: Path) -> None:
    first = evaluate(demand())
    [path] = (tmp_path / "cache" / "evaluations").iterdir()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:40])
    assert same(first, evaluate(demand()))
    assert path.read_bytes() == b"".join(lines)


def test_the_same_evaluation_does_not_run_twice_at_once(demand: DemandOf) -> None:
    asked = demand()
    words = [sys.executable, "-c", _SLOWLY, str(asked.bundle.folder), str(asked.images)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT) as child:
        assert child.stdout and child.stdout.readline() == b"image\n"
        with pytest.raises(UsageError, match="under way in another process"):
            evaluate(asked)
        child.kill()


def test_images_that_are_missing_are_counted_and_named(demand: DemandOf, tmp_path: Path) -> None:
    shutil.copy(demand().images / "000000000785.jpg", tmp_path)
    with pytest.raises(UsageError, match=r"3 of 4 images are missing .*: 000000040083\.jpg, "):
        evaluate(demand(images=tmp_path))
    with pytest.raises(UsageError, match="is not a folder"):
        evaluate(demand(images=tmp_path / "none"))


def test_an_image_file_without_an_image_is_named(demand: DemandOf, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(demand().images, tmp_path / "images"))
    (folder / "000000040083.jpg").write_text("no JPEG")
    with pytest.raises(UsageError, match=r"000000040083\.jpg is not an image"):
        evaluate(demand(images=folder))


def test_a_model_of_other_key_points_is_refused(demand: DemandOf) -> None:
    with pytest.raises(UsageError, match=r"tinypose-128x96 has 17 key points, CrowdPose has 14"):
        evaluate(demand(dataset="crowdpose"))


def test_a_detector_has_no_key_points_to_score(demand: DemandOf) -> None:
    with pytest.raises(UsageError, match="rtmdet-nano finds no key points"):
        evaluate(demand(DETECTOR))


def test_what_gives_boxes_must_be_one_and_a_detector(
    demand: DemandOf, trained_bundle: BundleOf
) -> None:
    net = trained_bundle(SMALL_NET, ENGINES[0])
    with pytest.raises(UsageError, match="tinypose-128x96 is no detector"):
        evaluate(demand(detector=net))
    detector = trained_bundle(DETECTOR, ENGINES[0])
    with pytest.raises(UsageError, match="not from both"):
        evaluate(demand(detector=detector, detections=Path("boxes.json")))


def _with_model(bundle: Bundle, **changes: Any) -> Bundle:
    """The bundle as if its model were another one; it is not run."""
    model = msgspec.structs.replace(bundle.manifest.model, **changes)
    return Bundle(bundle.folder, msgspec.structs.replace(bundle.manifest, model=model))


def test_bottom_up_nets_take_no_boxes(demand: DemandOf) -> None:
    net = _with_model(demand().bundle, task="bottom-up")
    with pytest.raises(UsageError, match="it takes no boxes"):
        evaluate(demand(bundle=net, detections=Path("boxes.json")))


@pytest.mark.parametrize("name", ["mpii", "ap10k"])
def test_some_data_sets_are_scored_in_annotated_boxes_only(demand: DemandOf, name: str) -> None:
    net = _with_model(demand().bundle, keypoints={"mpii": 16, "ap10k": 17}[name])
    with pytest.raises(UsageError, match="annotated boxes only"):
        evaluate(demand(bundle=net, dataset=name, detections=Path("boxes.json")))


class _TwoPeople:
    """A bottom-up net of 17 points that sees two people, apart and with tags of their own.

    Its points lie where cells [y, x] of [17] and [17] are, of maps half the size of a 128 px input.
    """

    def __init__(self, *people: NDArray[np.int64]) -> None:
        self._coarse = np.zeros((1, 34, 32, 32), np.float32)
        self._fine = np.zeros((1, 17, 64, 64), np.float32)
        for tag, cells in enumerate(people):
            for joint, (y, x) in enumerate(cells):
                self._fine[0, joint, y, x] = 1
                self._coarse[0, joint, y // 2, x // 2] = 1
                self._coarse[0, 17 + joint, y // 2, x // 2] = 5 * tag

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        return {"out0": self._coarse, "out1": self._fine}


def test_people_of_a_bottom_up_net_are_placed_in_the_image_and_all_kept(
    demand: DemandOf, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    cells = [random.integers((4, left), (60, left + 24), (17, 2)) for left in (4, 36)]
    # The photograph is 640 × 425; a cell's centre is half a cell further than its corner.
    scale = np.array([640 / 64, 425 / 64])
    content = coco()
    content["images"] = [{"id": 1, "file_name": "000000000785.jpg"}]
    content["annotations"] = []
    for number, each in enumerate(cells):
        flat = np.column_stack([(each[:, ::-1] + 0.5) * scale, np.full(17, 2)]).ravel().tolist()
        box = [0, 0, 640, 425]
        [person] = coco(id=number, keypoints=flat, bbox=box, area=40_000)["annotations"]
        content["annotations"].append(person)
    bottom_up = _with_model(
        demand().bundle,
        task="bottom-up",
        outputs=("out0", "out1"),
        decoder=AssociativeDecoder(),
        input=InputSpec(width=128, height=128),
    )
    asked = demand(
        bundle=bottom_up, annotations=save(tmp_path / "a.json", content), images=demand().images
    )
    found = evaluate(asked, Site("board", lambda: nullcontext(_TwoPeople(*cells))))
    assert (found.boxes, found.found) == ("none", 2)
    assert (found.value or 0) > 0.9


class _Corner:
    """A net of heatmaps whose peaks all lie in the middle of the input."""

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        heatmaps = np.zeros((1, 16, 32, 24), np.float32)
        heatmaps[:, :, 16, 12] = 1
        return {"heatmaps": heatmaps}


def test_mpii_asks_each_annotated_person_in_turn(demand: DemandOf, tmp_path: Path) -> None:
    folder = demand().images
    near, far = [[321.0, 221 + 30.0]] * 16, [[21.0, 21.0]] * 16  # file positions count from 1
    people = [{"image": "000000000785.jpg", "joints": joints} for joints in (near, far)]
    annotations = save(tmp_path / "mpii_val.json", [mpii(**each)[0] for each in people])
    net = _with_model(demand().bundle, keypoints=16, dataset="mpii")
    asked = demand(bundle=net, dataset="mpii", annotations=annotations, images=folder)
    found = evaluate(asked, Site("board", lambda: nullcontext(_Corner())))
    assert (found.metric, found.value) == ("PCKh@0.5", 0.5)
    assert found.scores["PCKh@0.5"]["wrist"] == 0.5
    assert (found.images, found.people, found.found) == (1, 2, 2)


def test_an_image_without_anybody_counts_only_where_boxes_are_to_be_found(
    demand: DemandOf, trained_bundle: BundleOf, tmp_path: Path
) -> None:
    folder = demand().images
    content = coco(bbox=[280, 44, 218, 346], area=39000)
    for image, name in zip(content["images"], ("000000000785", "000000196141"), strict=True):
        image["file_name"] = f"{name}.jpg"
    annotations = save(tmp_path / "a.json", content)
    within = evaluate(demand(annotations=annotations, images=folder))
    assert (within.images, within.found) == (2, 1)
    detector = trained_bundle(DETECTOR, ENGINES[0])
    behind = evaluate(demand(annotations=annotations, images=folder, detector=detector))
    assert behind.found > 4


def test_hashes_tell_what_was_evaluated(demand: DemandOf, tmp_path: Path) -> None:
    first = evaluate(demand())
    assert first.bundle_id == demand().bundle.manifest.bundle_id
    annotations = json.loads(demand().annotations.read_text()) | {"info": {}}
    second = evaluate(demand(annotations=save(tmp_path / "same.json", annotations)))
    assert first.annotations_sha256 != second.annotations_sha256
    assert first.images_sha256 == second.images_sha256
    assert first.scores == second.scores
