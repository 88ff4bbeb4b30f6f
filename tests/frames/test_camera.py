"""A camera gives the newest frame; here a film from a small web server stands in for one."""

import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edgepose.errors import UsageError
from edgepose.frames.source import open_source
from tests.frames.films import number_of, numbered, write_film


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[str]:
    write_film(tmp_path / "film.mp4", numbered(20))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=tmp_path))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://somebody:secret@127.0.0.1:{server.server_port}/film.mp4"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_slow_reader_gets_the_newest_frame_and_no_old_ones(stream: str) -> None:
    with open_source(stream) as source:
        assert (source.kind, source.count) == ("camera", None)
        frames = []
        for frame in source:
            frames.append(frame)
            time.sleep(0.5)
    numbers = [number_of(frame.image) for frame in frames]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 19
    assert len(numbers) < 20
    assert frames[0].time_s == 0
    assert source.notes == ["the stream ended"]


def test_the_password_of_a_stream_is_not_shown(stream: str) -> None:
    with open_source(stream) as source:
        assert "secret" not in source.name
        assert "127.0.0.1" in source.name


def test_no_part_of_a_password_is_shown() -> None:
    with pytest.raises(UsageError) as caught:
        open_source("http://somebody:p@ss@127.0.0.1:9/nothing")
    assert str(caught.value).startswith("http://127.0.0.1:9/nothing ")


@pytest.mark.parametrize("text", ["97", "/dev/video97", "http://127.0.0.1:9/nothing"])
def test_a_camera_that_is_not_there_is_a_clear_error(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be opened"):
        open_source(text)
