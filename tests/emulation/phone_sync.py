"""The ``sync:`` service, version 1: files there and back, as `adb push` and `adb pull` use it."""

import os
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from tests.emulation.phone_protocol import Service, Stream

_REQUEST = struct.Struct("<4sI")
_CHUNK = 64 * 1024


def sync_service(root: str) -> Service:
    """A sync service for the phone whose file system lies below ``root``."""

    async def serve(stream: Stream) -> None:
        while True:
            request, size = _REQUEST.unpack(await stream.read(_REQUEST.size))
            if request == b"QUIT":
                return
            argument = (await stream.read(size)).decode(errors="surrogateescape")
            if request == b"SEND":
                name, _, mode = argument.rpartition(",")
                if not await _receive(stream, _below(root, name), int(mode)):
                    return
            elif request == b"STAT":
                await stream.write(b"STAT" + struct.pack("<3I", *_stat(_below(root, argument))))
            elif request == b"LIST":
                await _list(stream, _below(root, argument))
            elif request == b"RECV":
                await _send(stream, _below(root, argument))
            else:
                await _fail(stream, f"unknown request {request!r}")
                return

    return serve


def _below(root: str, path: str) -> Path:
    return Path(root) / os.path.normpath(f"/{path}").lstrip("/")


def _stat(path: Path) -> tuple[int, int, int]:
    try:
        status = path.lstat()
    except OSError:
        return 0, 0, 0
    return status.st_mode, status.st_size & 0xFFFFFFFF, int(status.st_mtime) & 0xFFFFFFFF


async def _list(stream: Stream, folder: Path) -> None:
    with suppress(OSError):  # adbd, too, says nothing of a folder that it cannot list
        for entry in sorted(folder.iterdir()):
            encoded = os.fsencode(entry.name)
            fields = struct.pack("<4I", *_stat(entry), len(encoded))
            await stream.write(b"DENT" + fields + encoded)
    await stream.write(b"DONE" + bytes(16))


async def _send(stream: Stream, path: Path) -> None:
    try:
        with path.open("rb") as file:
            while data := file.read(_CHUNK):
                await stream.write(_REQUEST.pack(b"DATA", len(data)) + data)
    except OSError as error:
        await _fail(stream, f"open failed: {error.strerror}")
    else:
        await stream.write(_REQUEST.pack(b"DONE", 0))


async def _receive(stream: Stream, path: Path, mode: int) -> bool:
    """Write what the host sends; a file that did not arrive in whole is removed."""
    complete = False
    try:
        with _create(path) as file:
            while (piece := await _piece(stream))[0] == b"DATA":
                file.write(piece[1])
            path.chmod(stat.S_IMODE(mode))
        complete = True
    except OSError as error:
        # Said at once; then the rest is drained, for the host may not listen before its end.
        await _fail(stream, f"write failed: {error.strerror}")
        while (await _piece(stream))[0] == b"DATA":
            pass
        return False
    finally:
        if not complete:
            with suppress(OSError):
                path.unlink()
    await stream.write(_REQUEST.pack(b"OKAY", 0))
    return True


def _create(path: Path) -> BinaryIO:
    """adbd makes the folders on the way, and a file in place of the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    return path.open("xb", buffering=0)


async def _piece(stream: Stream) -> tuple[bytes, bytes]:
    kind, size = _REQUEST.unpack(await stream.read(_REQUEST.size))
    # What DONE carries in place of a size is the time of the file.
    return kind, await stream.read(size) if kind == b"DATA" else b""


async def _fail(stream: Stream, reason: str) -> None:
    message = reason.encode()
    await stream.write(_REQUEST.pack(b"FAIL", len(message)) + message)
