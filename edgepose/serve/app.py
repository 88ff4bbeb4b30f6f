"""What the server answers: the page, what the page must know, a camera's frames, files."""

import asyncio
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import Application, RequestHandler, StaticFileHandler, stream_request_body
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from edgepose.pose.pipeline import Pipeline
from edgepose.serve.access import refusal
from edgepose.serve.look import look_at_file, look_at_jpeg
from edgepose.serve.wire import About, ErrorText, encode
from edgepose.serve.worker import Worker

MAX_FILE_BYTES = 1 << 30
MAX_CAMERA_FRAME_BYTES = 16 << 20
PAGE = Path(__file__).parent / "page"
_HEADERS = {
    # The page loads and calls nothing but this server, and no other page may frame it.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, eq=False)
class Service:
    """What all requests share.

    ``pipeline`` makes a client's own, for a film or (False) a picture, over the same nets.
    ``names`` are the host names that mean this machine, ``folder`` holds files while they are
    looked at.
    """

    about: About
    pipeline: Callable[[bool], Pipeline]
    worker: Worker
    names: frozenset[str]
    folder: Path


def make_app(service: Service) -> Application:
    return Application(
        [
            ("/api/about", _About),
            ("/api/camera", _Camera),
            ("/api/file", _File),
            ("/(.*)", _Page, {"path": str(PAGE), "default_filename": "index.html"}),
        ],
        websocket_max_message_size=MAX_CAMERA_FRAME_BYTES,
        # Its answer must come within as long, and is not read while a frame waits for the nets.
        websocket_ping_interval=120,
        service=service,
    )


class _Guarded(RequestHandler):
    """Refuses strangers, and tells every error as JSON."""

    @property
    def service(self) -> Service:
        service: Service = self.settings["service"]
        return service

    def set_default_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        reason = refusal(self.request.headers, self.service.names)
        if reason:
            hint = "Open the address that `edgepose serve` printed."
            self.refuse(403, ErrorText(error=reason, hint=hint))

    def refuse(self, status: int, error: ErrorText) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(encode(error))

    def write_error(self, status_code: int, **_: Any) -> None:
        hint = "The terminal of `edgepose serve` says more." if status_code >= 500 else ""
        self.refuse(status_code, ErrorText(error=f"{status_code} {self._reason}", hint=hint))


class _Page(_Guarded, StaticFileHandler):
    pass


class _About(_Guarded):
    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(encode(self.service.about))


class _Camera(_Guarded, WebSocketHandler):
    """A JPEG in, a frame's text out; the next message is not read before."""

    def check_origin(self, origin: str) -> bool:
        return True  # ``prepare`` has looked at it

    def open(self, *_: str) -> None:
        self._pipeline = self.service.pipeline(True)

    async def on_message(self, message: str | bytes) -> None:
        data = message.encode() if isinstance(message, str) else message
        worker, now_s = self.service.worker, time.monotonic()
        answer = await worker.run(look_at_jpeg, self._pipeline, data, now_s)
        try:
            await self.write_message(encode(answer).decode())
        except WebSocketClosedError:
            return  # the page was left while we looked


@stream_request_body
class _File(_Guarded):
    """A picture or video as the request's body; one line of JSON for each frame, as they come."""

    def prepare(self) -> None:
        super().prepare()
        if self._finished:
            return
        connection: Any = self.request.connection
        connection.set_max_body_size(1 << 62)  # our own refusal says more
        self._check_size(int(self.request.headers.get("Content-Length", 0)))
        if self._finished:
            return
        name = _file_name(self.get_query_argument("name", ""))  # refuses bad UTF-8
        self._folder = tempfile.TemporaryDirectory(dir=self.service.folder)
        self._path = Path(self._folder.name) / name
        self._file = self._path.open("wb")

    def data_received(self, chunk: bytes) -> None:
        if self._finished:
            return
        self._check_size(self._file.tell() + len(chunk))
        if not self._finished:
            self._file.write(chunk)

    async def post(self) -> None:
        self._file.close()
        worker = self.service.worker
        texts = look_at_file(self.service.pipeline, self._path)
        try:
            while (text := await worker.run(lambda: next(texts, None))) is not None:
                if isinstance(text, ErrorText) and not self._headers_written:
                    self.refuse(422, text)
                    break
                self.set_header("Content-Type", "application/x-ndjson")
                self.write(encode(text) + b"\n")
                await self.flush()
        except StreamClosedError:
            pass  # the page was left while we looked
        except asyncio.CancelledError:
            return  # the server ends
        await worker.run(texts.close)

    def on_finish(self) -> None:
        self._clean_up()

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self._clean_up()

    def _check_size(self, size: int) -> None:
        if size <= MAX_FILE_BYTES:
            return
        limit = f"{MAX_FILE_BYTES / 2**30:g} GiB"
        hint = "Use a smaller one, or `edgepose run`, which has no such limit."
        self.refuse(413, ErrorText(error=f"this file is larger than {limit}", hint=hint))

    def _clean_up(self) -> None:
        if hasattr(self, "_folder"):
            self._file.close()
            self._folder.cleanup()


def _file_name(told: str) -> str:
    """The user's name for a file, without what a path or FFmpeg would understand.

    A letter takes up to four bytes, a name at most 255.
    """
    return re.sub(r"[^\w. -]", "_", told)[-60:].strip(". ") or "file"
