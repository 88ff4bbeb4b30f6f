"""The server without a browser: strangers, limits, leftovers, several clients, Ctrl-C."""

import asyncio
import http.client
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import cv2
import numpy as np
import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from tests.serve.conftest import POSE
from tests.serve.server_process import Served, running_server, until


def ask(served: Served, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """Status and content, as JSON where it is that."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    connection.request(
        method, path, body, {name.replace("_", "-"): v for name, v in headers.items()}
    )
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.getheader("Content-Type", "").startswith("application/json"):
        return answer.status, json.loads(content)
    return answer.status, content


async def camera(served: Served, *messages: bytes, **headers: str) -> list[dict[str, Any]]:
    """The answers to a camera's frames, one after another."""
    request = HTTPRequest(f"ws://127.0.0.1:{served.port}/api/camera", headers=headers)
    link = await websocket_connect(request)
    answers = []
    for message in messages:
        await link.write_message(message, binary=True)
        answers.append(json.loads(await link.read_message()))
    link.close()
    return answers


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Enough frames to be at work for a while."""
    path = tmp_path_factory.mktemp("film") / "long.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(900):
            frame = av.VideoFrame.from_ndarray(np.roll(noise, number, 1), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path.read_bytes()


@contextmanager
def begun_upload(served: Served, content: bytes) -> Iterator[http.client.HTTPResponse]:
    """The answer to a film of which only the first line was read."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    connection.request("POST", "/api/file?name=long.mp4", content)
    answer = connection.getresponse()
    try:
        assert json.loads(answer.readline())["width"] == 320
        yield answer
    finally:
        answer.close()
        connection.close()


def test_the_page_may_load_nothing_from_elsewhere(served: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert answer.status == 200 and b"<title>edgepose" in answer.read()
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    connection.close()


def test_foreign_names_and_pages_are_refused_everywhere(served: Served) -> None:
    for path in ("/", "/main.js", "/api/about", "/api/camera"):
        status, content = ask(served, "GET", path, Host="evil.example")
        assert status == 403 and "evil.example" in content["error"]
    status, content = ask(served, "POST", "/api/file", b"x", Origin="http://evil.example")
    assert status == 403 and "evil.example" in content["error"]
    with pytest.raises(HTTPClientError, match="403"):
        asyncio.run(camera(served, Origin="http://evil.example"))
    assert asyncio.run(camera(served, Origin=served.address.rstrip("/"))) == []


def test_a_file_beyond_the_limit_is_refused_before_it_is_sent(served: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    connection.putrequest("POST", "/api/file")
    connection.putheader("Content-Length", str(3 << 30))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["error"] == "this file is larger than 1 GiB"
    connection.close()


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe0 cut off", b"\x00" * 5000])
def test_what_is_no_picture_is_refused_under_the_users_name_for_it(
    served: Served, content: bytes
) -> None:
    status, told = ask(served, "POST", "/api/file?name=../../holiday%2501.jpg", content)
    assert status == 422 and told["hint"]
    assert "holiday_01.jpg" in told["error"] and "/" not in told["error"].split(":")[0]
    assert until(lambda: not served.left_files())


def test_a_name_that_is_no_text_is_refused_and_a_long_one_is_cut(
    served: Served, skier: Path
) -> None:
    status, told = ask(served, "POST", "/api/file?name=%ff.jpg", b"x")
    assert status == 400 and told["error"].startswith("400 ")
    name = quote("\U00020000" * 90 + ".jpg")  # letters of four bytes
    assert ask(served, "POST", f"/api/file?name={name}", skier.read_bytes())[0] == 200
    assert until(lambda: not served.left_files())


def test_odd_frames_of_a_camera_are_told_and_the_next_one_is_looked_at(
    served: Served, skier: Path
) -> None:
    grey = cv2.imencode(".png", np.zeros((40, 30), np.uint8))[1].tobytes()
    good = skier.read_bytes()
    answers = asyncio.run(camera(served, b"", b"no picture", good, grey, good))
    assert ["error" in answer for answer in answers] == [True, True, False, False, False]
    assert [len(answer["people"]) for answer in answers[2:]] == [1, 0, 1]
    assert (answers[3]["width"], answers[3]["height"]) == (30, 40)


def test_two_cameras_have_people_of_their_own(served: Served, skier: Path) -> None:
    mirrored = cv2.imencode(".jpg", cv2.flip(cv2.imread(str(skier)), 1))[1].tobytes()

    async def both() -> list[list[dict[str, Any]]]:
        return await asyncio.gather(
            camera(served, *[skier.read_bytes()] * 4), camera(served, *[mirrored] * 4)
        )

    left, right = asyncio.run(both())
    assert [[person["id"] for person in frame["people"]] for frame in left + right] == [[1]] * 8
    places = [{round(frame["people"][0]["box"][0]) for frame in frames} for frames in (left, right)]
    assert all(len(place) == 1 for place in places) and places[0] != places[1]


def test_a_page_that_is_left_ends_its_film_and_leaves_no_file(
    served: Served, long_film: bytes
) -> None:
    with begun_upload(served, long_film):
        assert [path.name for path in served.left_files()] == ["long.mp4"]
        assert ask(served, "GET", "/api/about")[0] == 200  # and answers others meanwhile
    until(lambda: not served.left_files())


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once_even_at_work(
    nets: Path, tmp_path: Path, long_film: bytes, sign: signal.Signals
) -> None:
    with (
        running_server(tmp_path, "--model", nets / f"{POSE}.onnx") as served,
        begun_upload(served, long_film) as answer,
    ):
        served.process.send_signal(sign)
        assert served.process.wait(60) == 0
        assert not served.left_files()
        assert b'"done"' not in rest_of(answer)


def rest_of(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read()
    except http.client.IncompleteRead as error:
        return error.partial
    except ConnectionError:
        return b""
