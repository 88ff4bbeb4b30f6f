"""``edgepose run``: real nets on real photographs, and what it says where it cannot."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
import pytest

from edgepose.build import build
from edgepose.bundle import Bundle
from edgepose.frames.source import open_source
from edgepose.pose.oks import oks, sigmas_for
from tests.cli.conftest import Edgepose
from tests.frames.films import damage_packet, numbered, pan, photograph, write_film
from tests.tiny_bundles import save_tiny_model
from tests.trained_model import EXAMPLES

PHOTOGRAPH = "000000196141"  # four people


class Nets(NamedTuple):
    """Folders of bundles with trained weights."""

    pose: Path
    detector: Path

    @property
    def words(self) -> tuple[str | Path, ...]:
        return "--model", self.pose, "--detector", self.detector


@pytest.fixture(scope="session")
def nets(shared_data: Path, own_places: None, tmp_path_factory: pytest.TempPathFactory) -> Nets:
    folder = tmp_path_factory.mktemp("nets")
    for name in ("tinypose-256x192", "rtmdet-nano"):
        shutil.copy(shared_data / "models" / f"{name}.onnx", folder)
        shutil.copy(EXAMPLES / f"{name}.toml", folder)
        build(str(folder / f"{name}.onnx"), into=folder / name)
    return Nets(folder / "tinypose-256x192", folder / "rtmdet-nano")


def persons(shared_data: Path, image_id: int) -> list[dict[str, Any]]:
    """The annotated ones with key points."""
    truth = json.loads((shared_data / "images" / "test_coco.json").read_text())
    return [
        person
        for person in truth["annotations"]
        if person["image_id"] == image_id and person["num_keypoints"] > 0
    ]


def test_four_people_of_a_photograph_are_found_drawn_and_saved(
    edgepose: Edgepose, nets: Nets, shared_data: Path, tmp_path: Path
) -> None:
    image = shared_data / "images" / f"{PHOTOGRAPH}.jpg"
    done = edgepose("run", image, *nets.words, "--save", "out.png", "--save", "out.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"(?m)^people +4 ", done.stdout)
    results = json.loads((tmp_path / "out.json").read_text())
    assert [result["image_id"] for result in results] == [196141] * 4
    similar = []
    for person in persons(shared_data, 196141):
        truth = np.array(person["keypoints"], float).reshape(-1, 3)
        seen = truth[:, 2] > 0
        similar.append(
            max(
                oks(
                    np.array(result["keypoints"]).reshape(-1, 3)[seen, :2],
                    truth[seen, :2],
                    sigmas_for(17)[seen],
                    person["area"],
                )
                for result in results
            )
        )
    assert len(similar) == 4
    assert min(similar) > 0.7
    before, after = cv2.imread(str(image)), cv2.imread(str(tmp_path / "out.png"))
    assert after.shape == before.shape
    changed = (before != after).any(axis=2)
    for result in results:
        for x, y, score in np.array(result["keypoints"]).reshape(-1, 3):
            assert score < 0.3 or changed[round(y), round(x)]
    assert changed.mean() < 0.15


def test_the_summary_tells_every_stage_and_its_share(
    edgepose: Edgepose, nets: Nets, shared_data: Path
) -> None:
    image = shared_data / "images" / f"{PHOTOGRAPH}.jpg"
    done = edgepose("run", image, *nets.words, "--save", "out.png", "--json")
    summary = json.loads(done.stdout)
    assert (summary["frames"], summary["people"], summary["trained"]) == (1, 4, True)
    stages = summary["stages"]
    assert set(stages) == {
        *("read", "preprocess", "detector", "network", "decode", "track", "draw", "save")
    }
    assert 0.5 < sum(figures["share"] for figures in stages.values()) <= 1.001
    assert summary["saved"] == ["out.png"]


def test_a_film_of_a_photograph_keeps_everyones_id(
    edgepose: Edgepose, nets: Nets, shared_data: Path, tmp_path: Path
) -> None:
    frames = pan(photograph(shared_data, PHOTOGRAPH), 12, (640, 430))
    film = write_film(tmp_path / "film.mp4", frames)
    done = edgepose(
        *("run", film, *nets.words, "--every", "4", "--save", "out.json", "--save", "out.mp4")
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"(?m)^detector .*, in 3 frames$", done.stdout)
    results = json.loads((tmp_path / "out.json").read_text())
    ids = [{one["id"] for one in results if one["image_id"] == number} for number in range(12)]
    assert len(ids[0]) >= 3
    assert all(each == ids[0] for each in ids)
    again = list(open_source(str(tmp_path / "out.mp4")))
    assert [frame.time_s for frame in again] == pytest.approx(np.arange(12) / 25, abs=1e-3)
    assert (np.abs(again[5].image.astype(int) - frames[5]).max(axis=2) > 60).any()


def test_ctrl_c_leaves_a_finished_video_of_what_was_done(
    nets: Nets, shared_data: Path, tmp_path: Path
) -> None:
    image = photograph(shared_data)
    film = write_film(tmp_path / "film.mp4", pan(image, 400, (240, 160)))
    command = [sys.executable, "-m", "edgepose.cli.main", "run", str(film), *map(str, nets.words)]
    out = tmp_path / "out"
    process = subprocess.Popen(
        [*command, "--save", str(out / "out.mp4"), "--save", str(out / "out.json")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ},
    )
    while not any(out.glob(".out.mp4*")):
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    summary, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    done = int(re.search(r"(?m)^frames +(\d+)", summary)[1])  # type: ignore[index]
    assert 0 < done < 400
    with av.open(str(out / "out.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == done
    assert max(one["image_id"] for one in json.loads((out / "out.json").read_text())) < done
    assert sorted(path.name for path in out.iterdir()) == ["out.json", "out.mp4"]


def test_a_folder_is_run_picture_by_picture(
    edgepose: Edgepose, nets: Nets, shared_data: Path, tmp_path: Path
) -> None:
    done = edgepose(
        *("run", shared_data / "images", *nets.words, "--save", "out", "--save", "out.json")
    )
    assert done.returncode == 0
    assert "note: skipped, no pictures: " in done.stderr
    assert "test_coco.json" in done.stderr
    names = ["000000000785", "000000040083", "000000196141", "000000197388"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{name}.png" for name in names
    ]
    found = [one["image_id"] for one in json.loads((tmp_path / "out.json").read_text())]
    assert set(found) == {int(name) for name in names}
    assert found.count(785) == 1


def test_a_top_down_model_without_a_detector_takes_the_picture_for_one_person(
    edgepose: Edgepose, nets: Nets, shared_data: Path
) -> None:
    image = shared_data / "images" / "000000000785.jpg"
    done = edgepose("run", image, "--model", nets.pose, "--json")
    assert done.stderr.startswith("note: without --detector")
    assert json.loads(done.stdout)["people"] == 1


@pytest.mark.parametrize("save", ["pics", "pics/"])
def test_a_picture_is_not_written_over_by_way_of_its_folder(
    edgepose: Edgepose, tiny: Bundle, tmp_path: Path, save: str
) -> None:
    (tmp_path / "pics").mkdir()
    cv2.imwrite(str(tmp_path / "pics" / "a.png"), numbered(1)[0])
    before = (tmp_path / "pics" / "a.png").read_bytes()
    for source, read in (("pics/a.png", "pics/a.png"), ("pics", save)):
        done = edgepose("run", source, "--model", tiny.folder, "--save", save)
        assert done.returncode == 2
        assert f"{read.rstrip('/')} is what is read" in done.stderr
    assert (tmp_path / "pics" / "a.png").read_bytes() == before


def test_a_folder_of_which_nothing_can_be_read_is_an_error_and_nothing_is_saved(
    edgepose: Edgepose, tiny: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "pics").mkdir()
    cv2.imwrite(str(tmp_path / "pics" / "a.png"), numbered(1)[0])
    data = (tmp_path / "pics" / "a.png").read_bytes()
    (tmp_path / "pics" / "a.png").write_bytes(data[:60])
    done = edgepose("run", "pics", "--model", tiny.folder, "--save", "out.json", "--json")
    assert done.returncode == 2
    assert (
        "error: no picture in the folder pics can be read: skipped, damaged: a.png" in done.stderr
    )
    assert not (tmp_path / "out.json").exists()
    assert done.stdout == ""


def test_a_place_that_cannot_be_written_is_said_in_one_paragraph(
    edgepose: Edgepose, tiny: Bundle, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), numbered(1)[0])
    done = edgepose("run", "in.png", "--model", tiny.folder, "--save", "in.png/out.png")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: in.png")
    assert "Traceback" not in done.stderr


def test_damaged_frames_are_told_at_the_end(
    edgepose: Edgepose, tiny: Bundle, tmp_path: Path
) -> None:
    film = write_film(tmp_path / "film.mp4", numbered(15))
    damage_packet(film, 6)
    done = edgepose("run", film, "--model", tiny.folder, "--json")
    assert done.returncode == 0
    assert "note: damaged frames that were skipped: " in done.stderr
    assert json.loads(done.stdout)["frames"] < 15


def test_the_limit_ends_a_run_early(edgepose: Edgepose, tiny: Bundle, tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", numbered(15))
    words = ("run", film, "--model", tiny.folder, "--limit", "4", "--save", "out.mp4", "--json")
    assert json.loads(edgepose(*words).stdout)["frames"] == 4
    assert len(list(open_source(str(tmp_path / "out.mp4")))) == 4


def test_random_weights_are_warned_of(edgepose: Edgepose, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), numbered(1)[0])
    model = save_tiny_model(tmp_path, "random")
    beside = model.with_suffix(".toml")
    beside.write_text(f"trained = false\n{beside.read_text()}")
    done = edgepose("run", "in.png", "--model", model, "--json")
    assert "warning: random has random weights" in done.stderr
    assert json.loads(done.stdout)["trained"] is False


def test_a_detector_of_the_zoo_takes_trained_weights_of_its_own(
    edgepose: Edgepose, nets: Nets, shared_data: Path
) -> None:
    image, onnx = shared_data / "images" / f"{PHOTOGRAPH}.jpg", "rtmdet-nano.onnx"
    imported = edgepose("weights", "import", "rtmdet-nano", shared_data / "models" / onnx)
    assert imported.returncode == 0
    detector = ("--detector", "rtmdet-nano", "--detector-weights", "rtmdet-nano.safetensors")
    done = edgepose("run", image, "--model", nets.pose, *detector, "--json")
    assert "random weights" not in done.stderr
    assert json.loads(done.stdout)["people"] == 4


def test_the_engine_picks_the_targets_recipe_in_single_precision(
    edgepose: Edgepose, tiny: Bundle, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), numbered(1)[0])
    model = tiny.folder.parent / "tiny.onnx"
    done = edgepose("run", "in.png", "--model", model, "--engine", "ncnn", "--json")
    assert json.loads(done.stdout)["model"] == "tiny for host (ncnn-fp32)"


def test_a_window_needs_another_opencv_and_that_is_said(
    edgepose: Edgepose, tiny: Bundle, tmp_path: Path
) -> None:
    if "GUI:                           NONE" not in cv2.getBuildInformation():
        pytest.skip("this OpenCV has windows")
    cv2.imwrite(str(tmp_path / "in.png"), numbered(1)[0])
    done = edgepose("run", "in.png", "--model", tiny.folder, "--show")
    assert done.returncode == 3
    assert "it is the headless one" in done.stderr
    assert "edgepose serve" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent.mp4", "--model", "TINY"], "there is no picture, folder or video absent.mp4"),
        (["in.png", "--model", "TINY", "--save", "in.png"], "is what is read"),
        (["in.png", "--model", "TINY", "--save", "out.mp4"], "is a video, and in.png is not"),
        (["in.png", "--model", "TINY", "--detector", "TINY"], "is no detector"),
        (["in.png", "--model", "TINY", "--engine", "tflite"], "no recipe for the engine"),
        (["in.png", "--model", "TINY", "--recipe", "ncnn-fp32"], "made by onnxruntime-fp32"),
        (["in.png", "--model", "TINY", "--weights", "w.pth"], "--weights does not apply"),
        (["in.png", "--model", "TINY", "--detector-weights", "w.pth"], "without a detector"),
        (["in.png", "--model", "rtmpose-z"], "unknown model 'rtmpose-z'"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_paragraph(
    edgepose: Edgepose, tiny: Bundle, tmp_path: Path, words: list[str], message: str
) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), numbered(1)[0])
    done = edgepose("run", *(str(tiny.folder) if word == "TINY" else word for word in words))
    assert done.returncode == 2
    assert message in done.stderr
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["in.png"]
