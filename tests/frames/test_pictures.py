"""Pictures of every kind become upright uint8 BGR."""

import sys
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgepose.errors import UsageError
from edgepose.frames.pictures import read_picture
from edgepose.frames.source import open_source


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    """[24, 32, 3] with other colours in each corner."""
    rows, columns = np.indices((24, 32))
    return np.stack([rows * 10, columns * 7, 255 - rows * 5], axis=-1).astype(np.uint8)


def save(path: Path, image: NDArray[np.generic]) -> Path:
    assert cv2.imwrite(str(path), image)
    return path


def jpeg_with_orientation(path: Path, image: NDArray[np.uint8], orientation: int) -> Path:
    """A JPEG with the smallest EXIF block that says how it is to be turned."""
    _, encoded = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, 100))
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01" + bytes([0, orientation, 0, 0])
    exif = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01" + entry + b"\x00\x00\x00\x00"
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    path.write_bytes(encoded.tobytes()[:2] + segment + encoded.tobytes()[2:])
    return path


def png_with_orientation(path: Path, image: NDArray[Any], orientation: int) -> Path:
    """A PNG with the smallest EXIF chunk that says how it is to be turned."""
    _, encoded = cv2.imencode(".png", image)
    content = encoded.tobytes()
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01" + bytes([0, orientation, 0, 0])
    exif = b"MM\x00*\x00\x00\x00\x08\x00\x01" + entry + b"\x00\x00\x00\x00"
    checksum = zlib.crc32(b"eXIf" + exif).to_bytes(4, "big")
    chunk = len(exif).to_bytes(4, "big") + b"eXIf" + exif + checksum
    pixels = content.index(b"IDAT") - 4
    path.write_bytes(content[:pixels] + chunk + content[pixels:])
    return path


def test_a_colour_picture_is_read_as_it_is(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    assert np.array_equal(read_picture(save(tmp_path / "a.png", picture)), picture)


def test_a_grey_picture_gets_three_equal_channels(
    tmp_path: Path, picture: NDArray[np.uint8]
) -> None:
    read = read_picture(save(tmp_path / "a.png", picture[..., 1]))
    assert np.array_equal(read, np.repeat(picture[..., 1:2], 3, axis=2))


def test_sixteen_bits_become_eight(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    read = read_picture(save(tmp_path / "a.png", picture.astype(np.uint16) * 257))
    assert read.dtype == np.uint8
    assert np.array_equal(read, picture)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_what_is_transparent_is_white(
    tmp_path: Path, picture: NDArray[np.uint8], kind: type
) -> None:
    most = np.iinfo(kind).max
    alpha = np.full(picture.shape[:2], most, kind)
    alpha[:10] = 0
    with_alpha = np.dstack([picture.astype(kind) * (most // 255), alpha])
    read = read_picture(save(tmp_path / "a.png", with_alpha))
    assert (read[:10] == 255).all()
    assert np.array_equal(read[10:], picture[10:])


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_what_is_transparent_in_a_turned_picture_is_white(
    tmp_path: Path, picture: NDArray[np.uint8], kind: type, orientation: int, turns: int
) -> None:
    alpha = np.full((*picture.shape[:2], 1), np.iinfo(kind).max, kind)
    alpha[:10, :3] = 0
    pixels = np.concatenate([picture.astype(kind) * (np.iinfo(kind).max // 255), alpha], axis=2)
    path = png_with_orientation(tmp_path / "a.png", pixels, orientation)
    wanted = picture.copy()
    wanted[:10, :3] = 255
    np.testing.assert_array_equal(read_picture(path), np.rot90(wanted, turns))


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_a_picture_is_turned_as_its_exif_says(
    tmp_path: Path, picture: NDArray[np.uint8], orientation: int, turns: int
) -> None:
    read = read_picture(jpeg_with_orientation(tmp_path / "a.jpg", picture, orientation))
    upright = np.rot90(picture, turns)
    assert read.shape == upright.shape
    assert np.abs(read.astype(int) - upright).mean() < 3


def test_a_cmyk_jpeg_has_the_colours_that_a_viewer_shows(
    tmp_path: Path, picture: NDArray[np.uint8]
) -> None:
    pillow = pytest.importorskip("PIL.Image", reason="needs pillow to write CMYK")
    path = tmp_path / "a.jpg"
    pillow.fromarray(picture[..., ::-1]).convert("CMYK").save(path, quality=100)
    assert np.abs(read_picture(path).astype(int) - picture).mean() < 6


@pytest.mark.parametrize("kept", [0.5, 0.95])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_truncated_picture_is_an_error_that_names_it(
    tmp_path: Path, picture: NDArray[np.uint8], suffix: str, kept: float
) -> None:
    path = save(tmp_path / f"cut{suffix}", picture)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(UsageError, match=rf"cut{suffix} is not a picture that can be read"):
        read_picture(path)


def test_a_folder_gives_its_pictures_by_name_and_notes_the_rest(
    tmp_path: Path, picture: NDArray[np.uint8]
) -> None:
    save(tmp_path / "b.png", picture)
    save(tmp_path / "a.jpg", picture)
    (tmp_path / "broken.png").write_bytes((tmp_path / "b.png").read_bytes()[:60])
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder").mkdir()
    with open_source(str(tmp_path)) as source:
        frames = list(source)
    assert [(frame.name, frame.id, frame.time_s) for frame in frames] == [
        ("a.jpg", 0, None),
        ("b.png", 1, None),
    ]
    assert source.notes == ["skipped, no pictures: notes.txt", "skipped, damaged: broken.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that nobody can read")
def test_a_file_that_cannot_be_read_is_skipped_with_a_note(
    tmp_path: Path, picture: NDArray[np.uint8]
) -> None:
    save(tmp_path / "a.png", picture)
    (tmp_path / "b.png").symlink_to("/proc/self/mem")
    with open_source(str(tmp_path)) as source:
        assert [frame.name for frame in source] == ["a.png"]
    assert source.notes == ["skipped, not readable: b.png"]


def test_what_was_skipped_is_told_when_the_reader_stops_early(
    tmp_path: Path, picture: NDArray[np.uint8]
) -> None:
    for name in ("b.png", "c.png"):
        save(tmp_path / name, picture)
    (tmp_path / "a.png").write_bytes((tmp_path / "b.png").read_bytes()[:60])
    with open_source(str(tmp_path)) as source:
        assert next(iter(source)).name == "b.png"
    assert source.notes == ["skipped, damaged: a.png"]


def test_pictures_with_numbers_for_names_keep_them_as_ids(
    tmp_path: Path, picture: NDArray[np.uint8]
) -> None:
    for name in ("000000000785", "000000196141"):
        save(tmp_path / f"{name}.png", picture)
    assert [frame.id for frame in open_source(str(tmp_path))] == [785, 196141]


def test_the_same_number_twice_is_no_id(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    for name in ("7.png", "007.png"):
        save(tmp_path / name, picture)
    assert [frame.id for frame in open_source(str(tmp_path))] == [0, 1]


def test_a_folder_without_pictures_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(UsageError, match="holds no picture"):
        open_source(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jpg", b"", "is empty"),
        ("words.jpg", b"these are words, not a picture", "neither a picture nor a video"),
        ("absent.jpg", None, "there is no picture, folder or video"),
    ],
)
def test_what_cannot_be_read_is_said_clearly(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        open_source(str(tmp_path / name))
    assert caught.value.hint
