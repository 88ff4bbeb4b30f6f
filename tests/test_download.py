"""Downloads from a real HTTP server that behaves, misbehaves and breaks off."""

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edgepose.download import download
from edgepose.errors import DownloadError

CONTENT = os.urandom(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Shop:
    """What the server has, how it answers, and what it was asked for."""

    url: str = ""
    content: bytes = CONTENT
    version: tuple[str, str] | None = ("ETag", '"v1"')
    ranges: bool = True
    sends: int | None = None  # bytes of the body until the connection is closed
    stalls: bool = False  # ... or until nothing more comes
    status: int | None = None
    wrong_range: bool = False
    asked: list[str | None] = field(default_factory=list)  # the Range header of each request


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop, done = Shop(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            shop.asked.append(self.headers["Range"])
            if shop.status:
                self.send_error(shop.status)
                return
            offset = self._offset()
            if offset >= len(shop.content):
                self.send_error(416)
                return
            body = shop.content[offset:]
            self.send_response(206 if offset else 200)
            if offset:
                first = offset + shop.wrong_range
                total = len(shop.content)
                self.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
            if shop.version:
                self.send_header(*shop.version)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: shop.sends])
            if shop.stalls:
                self.wfile.flush()
                done.wait(30)

        def _offset(self) -> int:
            wanted, version = self.headers["Range"], self.headers["If-Range"]
            if not wanted or not shop.ranges or (shop.version and version != shop.version[1]):
                return 0
            return int(wanted.removeprefix("bytes=").removesuffix("-"))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    shop.url = f"http://127.0.0.1:{server.server_port}/weights/net.pth"
    yield shop
    done.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "net.pth"


def fails(shop: Shop, path: Path, text: str, prefix: str | None = SHA256[:8]) -> DownloadError:
    with pytest.raises(DownloadError, match=text) as caught:
        download(shop.url, path, prefix, stall_s=0.5)
    assert shop.url in str(caught.value)
    assert caught.value.hint
    assert not path.exists()
    return caught.value


def left(path: Path) -> set[str]:
    return {each.name for each in path.parent.iterdir()}


def break_off(shop: Shop, path: Path, after: int = 100_000) -> None:
    shop.sends = after
    fails(shop, path, f"broke off after {after} of 300000 bytes")
    assert path.with_name("net.pth.part").stat().st_size == after
    shop.sends = None


def test_a_file_arrives_whole_and_is_not_fetched_twice(shop: Shop, path: Path) -> None:
    for _ in range(2):
        download(shop.url, path, SHA256[:8].upper())
        assert path.read_bytes() == CONTENT
    assert shop.asked == [None]
    assert left(path) == {"net.pth"}


def test_a_download_that_broke_off_goes_on_where_it_stopped(shop: Shop, path: Path) -> None:
    break_off(shop, path)
    download(shop.url, path, SHA256[:8])
    assert path.read_bytes() == CONTENT
    assert shop.asked == [None, "bytes=100000-"]
    assert left(path) == {"net.pth"}


def test_the_error_says_whether_a_second_try_goes_on(shop: Shop, path: Path) -> None:
    for version, hint in ((None, "Try again."), (("ETag", '"v1"'), "goes on where it stopped")):
        shop.version, shop.sends = version, 100_000
        assert hint in fails(shop, path, "broke off").hint


@pytest.mark.parametrize(
    ("version", "continued"),
    [
        (("ETag", '"v1"'), True),
        (("Last-Modified", "Wed, 21 Oct 2026 07:28:00 GMT"), True),
        (("ETag", 'W/"v1"'), False),  # two files of one weak tag may differ in their bytes
        (None, False),
    ],
    ids=str,
)
def test_only_a_named_version_of_the_file_is_continued(
    shop: Shop, path: Path, version: tuple[str, str] | None, continued: bool
) -> None:
    shop.version = version
    break_off(shop, path)
    download(shop.url, path, SHA256[:8])
    assert path.read_bytes() == CONTENT
    assert shop.asked[1] == ("bytes=100000-" if continued else None)
    assert left(path) == {"net.pth"}


def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(shop: Shop, path: Path) -> None:
    break_off(shop, path)
    shop.content, shop.version = CONTENT[::-1], ("ETag", '"v2"')
    download(shop.url, path)
    assert path.read_bytes() == CONTENT[::-1]


def test_a_server_that_knows_no_ranges_sends_the_file_from_its_start(
    shop: Shop, path: Path
) -> None:
    shop.ranges = False
    break_off(shop, path)
    download(shop.url, path, SHA256[:8])
    assert path.read_bytes() == CONTENT
    assert shop.asked == [None, "bytes=100000-"]


def test_a_part_that_is_no_beginning_of_the_file_is_dropped(shop: Shop, path: Path) -> None:
    break_off(shop, path)
    shop.content = CONTENT[:50_000]  # under the old tag: the server is wrong
    download(shop.url, path)
    assert path.read_bytes() == CONTENT[:50_000]
    assert shop.asked == [None, "bytes=100000-", None]


def test_another_part_than_was_wanted_is_refused(shop: Shop, path: Path) -> None:
    break_off(shop, path)
    shop.wrong_range = True
    fails(shop, path, "another part")
    shop.wrong_range = False
    download(shop.url, path, SHA256[:8])
    assert path.read_bytes() == CONTENT


def test_a_file_with_another_hash_is_removed(shop: Shop, path: Path) -> None:
    error = fails(shop, path, "not the file that was published", prefix="deadbeef")
    assert SHA256[:16] in str(error) and "deadbeef" in str(error)
    assert left(path) == set()


def test_a_damaged_file_in_the_cache_is_fetched_again(shop: Shop, path: Path) -> None:
    download(shop.url, path, SHA256[:8])
    path.write_bytes(CONTENT[:-1] + b"?")
    download(shop.url, path, SHA256[:8])
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(("status", "hint"), [(404, "moved or removed"), (500, "later")])
def test_what_the_server_refuses_is_said_and_nothing_is_left(
    shop: Shop, path: Path, status: int, hint: str
) -> None:
    shop.status = status
    assert hint in fails(shop, path, f"the server says {status}").hint
    assert left(path) == set()


def test_a_refusal_keeps_what_came_before(shop: Shop, path: Path) -> None:
    break_off(shop, path)
    shop.status = 503
    fails(shop, path, "503")
    shop.status = None
    download(shop.url, path, SHA256[:8])
    assert shop.asked[-1] == "bytes=100000-"


def test_nobody_at_the_address_is_said(path: Path) -> None:
    shop = Shop(url="http://127.0.0.1:9/net.pth")
    assert "proxy" in fails(shop, path, "Connection refused").hint
    assert left(path) == set()


def test_a_connection_that_stalls_is_given_up(shop: Shop, path: Path) -> None:
    shop.sends, shop.stalls = 100_000, True
    began = time.monotonic()
    fails(shop, path, "timed out")
    assert time.monotonic() - began < 10
    shop.sends, shop.stalls = None, False
    download(shop.url, path, SHA256[:8])
    assert shop.asked[-1] == "bytes=100000-"


def test_a_full_disk_is_said(shop: Shop, path: Path) -> None:
    path.parent.mkdir()
    path.with_name("net.pth.part").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match="No space left") as caught:
        download(shop.url, path, SHA256[:8])
    assert "EDGEPOSE_CACHE" in caught.value.hint
    assert not path.exists()


def test_a_file_larger_than_the_disk_is_not_begun(
    shop: Shop, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(path.parent.parent)._replace(free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    fails(shop, path, "has no room for")
    assert left(path) == set()


def test_a_folder_that_cannot_be_made_is_said(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match="cannot be written"):
        download(shop.url, tmp_path / "file" / "net.pth")


def test_two_downloads_at_once_take_turns_and_fetch_once(shop: Shop, path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(download, shop.url, path, SHA256[:8]) for _ in range(2)]
    assert [each.result() for each in both] == [None, None]
    assert shop.asked == [None]


def test_progress_is_told(
    shop: Shop, path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgepose.download._PROGRESS_S", 0.0)
    with caplog.at_level("INFO", logger="edgepose"):
        download(shop.url, path, SHA256[:8])
    assert f"fetching {shop.url} (0.0 of 0.3 MiB)" in caplog.text
    assert "0.3 of 0.3 MiB" in caplog.text
