"""A headless Chromium, and what the tests want to know of the page."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from tests.serve.server_process import until

INSTALL = "run scripts/install-debian-packages tests"
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # a container's root has none
    "--disable-dev-shm-usage",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--window-size=1280,900",
)
# How opaque the overlay is around a place of the picture, 0 to 255.
_OPAQUE = """
const [x, y, width, height] = arguments;
const overlay = document.getElementById("overlay");
const reach = 4;
const [left, top] = [x / width * overlay.width - reach, y / height * overlay.height - reach];
const area = overlay.getContext("2d").getImageData(left, top, 2 * reach, 2 * reach).data;
return Math.max(...area.filter((_, index) => index % 4 === 3));
"""
# Where the overlay's middle is, from the left, of 1; null where all of it is clear.
_MIDDLE = """
const overlay = document.getElementById("overlay");
const data = overlay.getContext("2d").getImageData(0, 0, overlay.width, overlay.height).data;
let [count, sum] = [0, 0];
for (let index = 3; index < data.length; index += 4)
  if (data[index] > 0) { count += 1; sum += (index >> 2) % overlay.width; }
return count ? sum / count / overlay.width : null;
"""


def missing_browser() -> str | None:
    """What keeps the page's tests from running here."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"{' and '.join(missing)} not installed: {INSTALL}" if missing else None


@contextmanager
def running_browser(camera: Path) -> Iterator[Chrome]:
    """A Chromium whose camera films ``camera``, a Y4M file, over and over."""
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*_FLAGS, f"--use-file-for-fake-video-capture={camera}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options, Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """The page of one server in the browser."""

    def __init__(self, driver: Chrome, address: str) -> None:
        self.driver = driver
        for log in ("performance", "browser"):
            driver.get_log(log)  # drops what came before
        driver.get(address)
        until(lambda: self.text("nets"))

    def element(self, name: str) -> Any:
        return self.driver.find_element(By.ID, name)

    def text(self, name: str) -> str:
        text: str = self.element(name).text
        return text

    def state(self) -> str | None:
        """``idle``, ``working``, ``done`` or ``failed``."""
        body = self.driver.find_element(By.TAG_NAME, "body")
        state: str | None = body.get_attribute("data-state")
        return state

    def open(self, path: Path) -> str | None:
        """Choose a file, and wait until it is done with; the state then."""
        self.element("file").send_keys(str(path))
        until(lambda: self.state() in ("done", "failed"), 120)
        return self.state()

    def stages(self) -> dict[str, tuple[float, int]]:
        """Milliseconds and per cent of each stage that is shown."""
        rows = self.driver.find_elements(By.CSS_SELECTOR, "#stages tbody tr:not([hidden])")
        texts = {row.get_attribute("data-stage"): row.text.split() for row in rows}
        return {name: (float(words[-3]), int(words[-2])) for name, words in texts.items()}

    def opacity_at(self, x: float, y: float, width: int, height: int) -> int:
        """Of the overlay at a place of a picture of this size."""
        value: int = self.driver.execute_script(_OPAQUE, x, y, width, height)
        return value

    def middle(self) -> float | None:
        """Of all that the overlay shows, from its left, of its width; None where it is clear."""
        middle: float | None = self.driver.execute_script(_MIDDLE)
        return middle

    def hosts(self) -> set[str]:
        """All that the browser's network requests went to, since the page was opened."""
        events = [
            json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")
        ]
        addresses = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ] + [
            event["params"]["url"]
            for event in events
            if event["method"] == "Network.webSocketCreated"
        ]
        parts = [urlsplit(address) for address in addresses]
        return {part.netloc for part in parts if part.scheme not in ("blob", "data")}

    def complaints(self) -> list[str]:
        """What the browser's console holds at the level of an error."""
        entries = self.driver.get_log("browser")
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]
