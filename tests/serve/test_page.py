"""The page in a real browser, before a real server with real nets."""

import json
import urllib.request
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.serve.browser import Page
from tests.serve.server_process import Served, until

FRAMES, RATE, STEP_PX = 16, 8, 6


@pytest.fixture(scope="module")
def film(skier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds in which the photograph moves to the left."""
    image = cv2.imread(str(skier))
    path = tmp_path_factory.mktemp("film") / "moving.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 480, 400, "yuv420p"
        for number in range(FRAMES):
            part = image[:400, STEP_PX * number : STEP_PX * number + 480]
            frame = av.VideoFrame.from_ndarray(part, format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def looked_at(served: Served, path: Path) -> list[dict]:
    """The server's own lines about a file."""
    request = urllib.request.Request(f"{served.address}api/file", path.read_bytes())
    with urllib.request.urlopen(request, timeout=60) as answer:
        return [json.loads(line) for line in answer]


def test_a_picture_shows_its_person_where_the_net_found_it(
    page: Page, served: Served, skier: Path
) -> None:
    assert page.open(skier) == "done"
    assert page.text("people") == "1"
    (person,) = looked_at(served, skier)[0]["people"]
    sure = [(x, y) for x, y, score in person["points"] if score > 0.5]
    assert len(sure) > 12
    assert all(page.opacity_at(x, y, 640, 425) > 100 for x, y in sure)
    assert page.opacity_at(100, 320, 640, 425) == 0  # snow
    assert page.complaints() == []


def test_a_moving_gif_shows_the_person_of_the_frame_that_is_drawn(
    page: Page, served: Served, skier: Path, tmp_path: Path
) -> None:
    path = tmp_path / "moving.gif"
    image = cv2.imread(str(skier))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("gif", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = *image.shape[:2], "rgb8"
        for each in (image, np.full_like(image, 255)):  # the person, then snow
            container.mux(stream.encode(av.VideoFrame.from_ndarray(each, format="bgr24")))
        container.mux(stream.encode())
    assert [len(line["people"]) for line in looked_at(served, path)[:-1]] == [1, 0]
    assert page.open(path) == "done"
    assert page.text("people") == "1"


def test_the_page_names_the_nets_and_tells_each_stages_time(page: Page, skier: Path) -> None:
    nets = page.text("nets")
    assert "tinypose-256x192" in nets and "rtmdet-nano" in nets and "onnxruntime, fp32" in nets
    page.open(skier)
    stages = page.stages()
    assert set(stages) >= {"read", "preprocess", "detector", "network", "decode"}
    times_ms, shares = zip(*stages.values(), strict=True)
    assert all(ms > 0 for ms in times_ms) and abs(sum(shares) - 100) <= len(shares)
    assert sum(times_ms) == pytest.approx(float(page.text("frame-ms")), abs=1)


def test_a_damaged_file_is_told_and_the_page_goes_on(
    page: Page, skier: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(skier.read_bytes()[:300])
    assert page.open(broken) == "failed"
    assert "broken.jpg is not a picture" in page.text("error-text")
    assert not page.element("frame").is_displayed()
    assert page.open(skier) == "done"
    assert not page.element("error").is_displayed()


def test_a_file_that_is_no_video_is_told(page: Page, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(bytes(range(256)) * 40)
    assert page.open(broken) == "failed"
    assert "broken.mp4" in page.text("error-text") and page.text("error-hint")


def test_the_camera_flows_and_ends_with_its_button(page: Page) -> None:
    page.element("camera").click()
    body = page.driver.find_element("tag name", "body")
    until(lambda: int(body.get_attribute("data-frames") or 0) >= 5)
    assert page.text("people") == "1"
    assert page.middle() == pytest.approx(0.39, abs=0.05)  # mirrored
    assert "transfer" in page.stages()
    until(lambda: page.text("fps") not in ("", "–"))
    page.element("close").click()
    assert page.state() == "idle" and page.element("empty").is_displayed()
    assert page.complaints() == []


def test_a_video_plays_under_the_skeleton_of_each_moment(page: Page, film: Path) -> None:
    assert page.open(film) == "done"
    assert page.text("status") == f"moving.mp4: {FRAMES} frames."
    assert page.element("clock").text.endswith("0:02")
    until(lambda: page.element("play").get_attribute("aria-label") == "Play")  # it played through
    assert page.text("people") == "1"
    middles_px = {1.0: 480 * page.middle()}
    for moment in (0.1, 0.9):
        page.driver.execute_script(
            "const seek = document.getElementById('seek'); seek.value = arguments[0];"
            "seek.dispatchEvent(new Event('input'))",
            moment,
        )
        last_px = list(middles_px.values())[-1]
        middles_px[moment] = 480 * until(lambda last_px=last_px: other(page.middle(), last_px))
    moved_px = STEP_PX * FRAMES * 0.8
    assert middles_px[0.1] - middles_px[0.9] == pytest.approx(moved_px, abs=12)
    assert page.complaints() == []


def test_no_request_leaves_the_server(page: Page, served: Served, skier: Path, film: Path) -> None:
    page.open(skier)
    page.open(film)
    page.element("camera").click()
    body = page.driver.find_element("tag name", "body")
    until(lambda: int(body.get_attribute("data-frames") or 0) >= 2)
    assert page.hosts() == {f"127.0.0.1:{served.port}"}


def other(value: float | None, last_px: float) -> float | None:
    """``value``, of a width of 480, once it is somewhere else: seeking takes its time."""
    return value if value and abs(480 * value - last_px) > 20 else None
