"""A server with real nets, and a browser whose camera sees a real photograph."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from selenium.webdriver import Chrome

from tests.serve.browser import Page, missing_browser, running_browser
from tests.serve.server_process import Served, running_server
from tests.trained_model import EXAMPLES

# Set where nothing may be missing (CI).
REQUIRE = "EDGEPOSE_REQUIRE_EMULATION"
POSE, DETECTOR = "tinypose-256x192", "rtmdet-nano"


@pytest.fixture(scope="session")
def nets(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with trained ONNX files and what must lie beside them."""
    folder = tmp_path_factory.mktemp("nets")
    for name in (POSE, DETECTOR):
        shutil.copy(shared_data / "models" / f"{name}.onnx", folder)
        shutil.copy(EXAMPLES / f"{name}.toml", folder)
    return folder


@pytest.fixture(scope="session")
def served(
    nets: Path, own_places: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A server of a detector and a top-down net, which all tests share."""
    words = ("--model", nets / f"{POSE}.onnx", "--detector", nets / f"{DETECTOR}.onnx")
    with running_server(tmp_path_factory.mktemp("served"), *words) as served:
        yield served


@pytest.fixture(scope="session")
def skier(shared_data: Path) -> Path:
    """A photograph of one person."""
    return shared_data / "images" / "000000000785.jpg"


@pytest.fixture(scope="session")
def browser(skier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    missing = missing_browser()
    if missing and os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{REQUIRE}=1, but {missing}", pytrace=False)
    if missing:
        pytest.skip(missing)
    camera = tmp_path_factory.mktemp("camera") / "skier.y4m"
    save_y4m(skier, camera)
    with running_browser(camera) as driver:
        yield driver


@pytest.fixture
def page(browser: Chrome, served: Served) -> Iterator[Page]:
    """The page, freshly opened."""
    page = Page(browser, served.address)
    yield page
    browser.get("about:blank")  # ends its camera


def save_y4m(picture: Path, into: Path) -> None:
    """A raw film of one frame, as Chromium's false camera wants it."""
    image = cv2.resize(cv2.imread(str(picture)), (640, 424))
    planes = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420).tobytes()
    into.write_bytes(b"YUV4MPEG2 W640 H424 F30:1 Ip A1:1 C420jpeg\nFRAME\n" + planes)
