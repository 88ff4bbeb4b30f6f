"""What is saved: whole files, in the formats that others read."""

import json
from pathlib import Path

import av
import numpy as np
import pytest

from edgepose.errors import UsageError
from edgepose.frames.sink import open_sink
from edgepose.frames.source import FramePicture, Source, open_source
from edgepose.pose.people import Person
from tests.frames.films import number_of, numbered, write_film


def frame(number: int, time_s: float | None = None, name: str | None = None) -> FramePicture:
    image = numbered(number + 1)[number]
    return FramePicture(image, time_s, name or str(number), number)


def person(**changes: object) -> Person:
    fields = {
        "points": np.array([[1.0, 2.0], [30.25, 40.5]]),
        "scores": np.array([0.9, -0.1], np.float32),
        "box": np.array([1.0, 2.0, 31.0, 42.0]),
        "score": 0.75,
    }
    return Person(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture
def film(tmp_path: Path) -> Source:
    (tmp_path / "in").mkdir()
    return open_source(str(write_film(tmp_path / "in" / "film.mp4", numbered(3))))


@pytest.fixture
def picture(tmp_path: Path) -> Source:
    folder = tmp_path / "one"
    folder.mkdir()
    sink = open_sink(f"{folder}/", _Still())
    sink.take(frame(0, None, "7.jpg"), [], numbered(1)[0])
    return open_source(str(folder / "7.png"))


class _Still(Source):
    kind = "picture"

    def __init__(self) -> None:
        super().__init__("a.jpg", 1, None)

    def __iter__(self):  # type: ignore[no-untyped-def]
        yield frame(0)


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_video_keeps_times_and_frames(tmp_path: Path, film: Source) -> None:
    path = tmp_path / "out" / "out.mp4"
    sink = open_sink(str(path), film)
    times_s = [0.0, 0.04, 0.5]
    for number, time_s in enumerate(times_s):
        sink.take(frame(number, time_s), [], numbered(3)[number])
    sink.close()
    assert visible(path.parent) == ["out.mp4"]
    again = list(open_source(str(path)))
    assert [number_of(each.image) for each in again] == [0, 1, 2]
    assert [each.time_s for each in again] == pytest.approx(times_s, abs=1e-3)
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # a browser plays it while it loads


def test_a_video_lies_under_a_hidden_name_until_it_is_whole(tmp_path: Path, film: Source) -> None:
    path = tmp_path / "out" / "out.mp4"
    sink = open_sink(str(path), film)
    sink.take(frame(0, 0.0), [], numbered(1)[0])
    assert all(name.startswith(".") for name in visible(path.parent))
    sink.close()
    assert visible(path.parent) == ["out.mp4"]


def test_odd_sizes_gain_a_pixel(tmp_path: Path, film: Source) -> None:
    sink = open_sink(str(tmp_path / "out.mp4"), film)
    image = numbered(1, 47, 63)[0]
    sink.take(frame(0, 0.0), [], image)
    sink.close()
    (again,) = open_source(str(tmp_path / "out.mp4"))
    assert again.image.shape == (48, 64, 3)
    assert np.abs(again.image[:47, :63].astype(int) - image).mean() < 4


def test_frames_of_another_size_are_fitted_into_the_first_ones(
    tmp_path: Path, film: Source
) -> None:
    sink = open_sink(str(tmp_path / "out.mp4"), film)
    sink.take(frame(0, 0.0), [], np.full((48, 64, 3), 200, np.uint8))
    sink.take(frame(1, 0.1), [], np.full((96, 64, 3), 200, np.uint8))
    sink.close()
    _, second = open_source(str(tmp_path / "out.mp4"))
    assert second.image.shape == (48, 64, 3)
    assert abs(float(second.image[:, 24:40].mean()) - 200) < 4
    assert second.image[:, :8].mean() < 20


def test_nothing_is_left_of_a_video_without_frames(tmp_path: Path, film: Source) -> None:
    open_sink(str(tmp_path / "out" / "out.mp4"), film).close()
    assert not (tmp_path / "out").exists()


def test_json_is_a_list_of_coco_results(tmp_path: Path, film: Source) -> None:
    path = tmp_path / "out.json"
    sink = open_sink(str(path), film)
    sink.take(frame(0, 0.0), [person(id=3), person(id=4)], None)
    sink.take(frame(1, 0.04), [], None)
    sink.take(frame(2, 0.08), [person(id=3)], None)
    assert not path.exists()
    sink.close()
    results = json.loads(path.read_text())
    assert [(result["image_id"], result["id"]) for result in results] == [(0, 3), (0, 4), (2, 3)]
    assert results[2] == {
        "image_id": 2,
        "category_id": 1,
        "keypoints": [1.0, 2.0, 0.9, 0.0, 0.0, 0.0],
        "score": 0.75,
        "bbox": [1.0, 2.0, 30.0, 40.0],
        "id": 3,
        "time_s": 0.08,
    }


def test_json_of_a_picture_names_its_file(tmp_path: Path, picture: Source) -> None:
    sink = open_sink(str(tmp_path / "out.json"), picture)
    for each in picture:
        sink.take(each, [person()], None)
    sink.close()
    (result,) = json.loads((tmp_path / "out.json").read_text())
    assert (result["image_id"], result["file_name"]) == (7, "7.png")
    assert "id" not in result
    assert "time_s" not in result


def test_json_without_people_is_an_empty_list(tmp_path: Path, film: Source) -> None:
    sink = open_sink(str(tmp_path / "out.json"), film)
    sink.take(frame(0, 0.0), [], None)
    sink.close()
    assert json.loads((tmp_path / "out.json").read_text()) == []


def test_results_that_cannot_take_their_place_leave_no_hidden_file(
    tmp_path: Path, film: Source
) -> None:
    sink = open_sink(str(tmp_path / "out" / "out.json"), film)
    sink.take(frame(0, 0.0), [person()], None)
    (tmp_path / "out" / "out.json").mkdir()
    with pytest.raises(IsADirectoryError):
        sink.close()
    assert visible(tmp_path / "out") == ["out.json"]


def test_a_folder_gets_one_picture_a_frame(tmp_path: Path, film: Source) -> None:
    sink = open_sink(str(tmp_path / "pictures"), film)
    for number in range(2):
        sink.take(frame(number, 0.04 * number), [], numbered(2)[number])
    sink.take(frame(0, None, "boat.old.jpg"), [], numbered(1)[0])
    sink.close()
    assert visible(tmp_path / "pictures") == ["000000.png", "000001.png", "boat.old.png"]


def test_pictures_of_one_stem_do_not_overwrite_each_other(tmp_path: Path, film: Source) -> None:
    sink = open_sink(str(tmp_path / "pictures"), film)
    for name in ("12", "boat.jpg", "boat.png", "boat.png.webp"):
        sink.take(frame(0, None, name), [], numbered(1)[0])
    names = ["12.png", "boat.png", "boat.png.png", "boat.png.webp.png"]
    assert visible(tmp_path / "pictures") == names


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".webp", ".PNG"])
def test_one_picture_is_saved_as_its_name_says(
    tmp_path: Path, picture: Source, suffix: str
) -> None:
    sink = open_sink(str(tmp_path / f"out{suffix}"), picture)
    (only,) = picture
    sink.take(only, [], only.image)
    sink.close()
    (again,) = open_source(str(tmp_path / f"out{suffix}"))
    assert np.abs(again.image.astype(int) - only.image).mean() < 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.png", "is one picture, but film.mp4 has many"),
        ("out.gif", "nothing can be saved as '.gif'"),
    ],
)
def test_what_does_not_fit_a_film_is_refused(
    tmp_path: Path, film: Source, name: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        open_sink(str(tmp_path / name), film)
    assert caught.value.hint


def test_a_picture_is_no_video(tmp_path: Path, picture: Source) -> None:
    with pytest.raises(UsageError, match=r"is a video, and 7\.png is not"):
        open_sink(str(tmp_path / "out.mp4"), picture)
