"""Videos are read frame by frame, each with its own time, whatever their files went through."""

import sys
from pathlib import Path

import av
import numpy as np
import pytest

from edgepose.errors import ToolchainError, UsageError
from edgepose.frames.source import FramePicture, open_source
from tests.frames.films import RATE, damage_packet, number_of, numbered, turn_clockwise, write_film


def read(film: Path) -> tuple[list[FramePicture], list[str]]:
    with open_source(str(film)) as source:
        return list(source), source.notes


def test_frames_come_in_order_with_their_times(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", numbered(12))
    with open_source(str(film)) as source:
        assert (source.kind, source.count, source.rate) == ("video", 12, RATE)
        frames = list(source)
    assert [number_of(frame.image) for frame in frames] == list(range(12))
    assert [frame.time_s for frame in frames] == pytest.approx(np.arange(12) / RATE)
    assert [frame.id for frame in frames] == list(range(12))
    assert source.notes == []


def test_a_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    times_s = [0.0, 0.04, 0.4, 0.44, 1.0]
    frames, _ = read(write_film(tmp_path / "film.mp4", numbered(5), times_s))
    assert [frame.time_s for frame in frames] == pytest.approx(times_s, abs=1e-3)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts", "flv"])
def test_times_begin_at_zero_and_always_grow(tmp_path: Path, suffix: str) -> None:
    times_s = 3 + np.arange(20) / RATE
    film = write_film(tmp_path / f"film.{suffix}", numbered(20), list(times_s))
    with open_source(str(film)) as source:
        assert source.count == 20
        frames = list(source)
    assert [frame.time_s for frame in frames] == pytest.approx(times_s - 3, abs=2e-3)
    assert source.notes == []


def test_a_short_matroska_film_that_begins_late_is_no_break(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", numbered(3), [3.0, 3.04, 3.08])
    frames, notes = read(film)
    assert ([frame.time_s for frame in frames], notes) == (pytest.approx([0.0, 0.04, 0.08]), [])


def test_a_long_last_frame_is_no_break(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", numbered(5), last_s=2.0)
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        assert float(stream.duration * stream.time_base) > 2
    frames, notes = read(film)
    assert (len(frames), notes) == (5, [])


def test_a_relative_name_with_a_colon_is_no_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_film(tmp_path / "film.mp4", numbered(3)).rename(tmp_path / "at:12.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(read(Path("at:12.mp4"))[0]) == 3


def test_damaged_frames_are_told_when_the_reader_stops_early(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", numbered(15))
    damage_packet(film, 6)
    with open_source(str(film)) as source:
        for frame in source:
            if frame.id == 8:
                break
    (note,) = source.notes
    assert note.startswith("damaged frames that were skipped: ")


def test_a_film_taken_upright_is_turned(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", numbered(2))
    (before, *_), _ = read(film)
    turn_clockwise(film)
    (after, *_), _ = read(film)
    assert after.image.shape == (64, 48, 3)
    assert np.array_equal(after.image, np.rot90(before.image, 3))


def test_a_damaged_frame_is_skipped_and_counted(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", numbered(15))
    damage_packet(film, 6)  # those behind it, up to the next key frame at 10, lean on it
    frames, notes = read(film)
    assert {0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14} <= {number_of(frame.image) for frame in frames}
    assert len(frames) < 15
    (note,) = notes
    assert note.startswith("damaged frames that were skipped: ")


@pytest.mark.parametrize(
    ("name", "options"),
    [("film.mkv", {}), ("film.mp4", {"options": {"movflags": "+faststart"}})],
    ids=["mkv", "mp4 with its index in front"],
)
def test_a_truncated_film_gives_what_comes_before_the_break(
    tmp_path: Path, name: str, options: dict[str, dict[str, str]]
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3), np.uint8)
    film = write_film(tmp_path / name, list(noise), **options)
    data = film.read_bytes()
    film.write_bytes(data[: int(0.6 * len(data))])
    frames, notes = read(film)
    assert 5 <= len(frames) <= 15
    assert any("breaks off after" in note and "of 0.8 s" in note for note in notes)


def test_an_mp4_cut_off_before_its_index_is_a_clear_error(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", numbered(10))
    film.write_bytes(film.read_bytes()[:900])
    with pytest.raises(UsageError, match="moov atom not found") as caught:
        open_source(str(film))
    assert "index" in caught.value.hint


def test_a_playlist_cannot_name_other_files(tmp_path: Path) -> None:
    write_film(tmp_path / "secret.ts", numbered(10))
    playlist = tmp_path / "list.m3u8"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n")
    with av.open(str(playlist)) as container:  # that is what FFmpeg would do
        assert sum(1 for _ in container.decode(video=0)) == 10
    with pytest.raises(UsageError, match="neither a picture nor a video"):
        open_source(str(playlist))


def test_a_file_with_sound_only_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(UsageError, match="it has no moving picture"):
        open_source(str(path))


def test_without_pyav_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = write_film(tmp_path / "film.mp4", numbered(2))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ToolchainError, match="PyAV") as caught:
        open_source(str(film))
    assert "edgepose[video]" in caught.value.hint
