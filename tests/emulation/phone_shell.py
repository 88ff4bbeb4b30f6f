"""The services that run a command: ``shell,v2`` with its packets, plain ``shell`` and ``exec``."""

import asyncio
import contextlib
import signal
import struct
from collections.abc import Sequence

from tests.emulation.phone_protocol import Service, Stream

STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
_PACKET = struct.Struct("<BI")
_CHUNK = 64 * 1024


def shell_service(enter: Sequence[str], options: Sequence[str], command: str) -> Service:
    """``options`` are those after the service's name; ``enter`` leads into the phone."""
    argv = [*enter, "-c", command] if command else [*enter]

    async def separate(stream: Stream) -> None:
        await _run_packets(argv, stream)

    async def merged(stream: Stream) -> None:
        await _run_merged(argv, stream)

    return separate if "v2" in options else merged


async def _run_packets(argv: Sequence[str], stream: Stream) -> None:
    process = await _spawn(argv, asyncio.subprocess.PIPE)
    sending = asyncio.Lock()

    async def send(kind: int, data: bytes) -> None:
        async with sending:
            await stream.write(_PACKET.pack(kind, len(data)) + data)

    async def forward(kind: int, pipe: asyncio.StreamReader) -> None:
        while data := await pipe.read(_CHUNK):
            await send(kind, data)

    assert process.stdout is not None and process.stderr is not None
    feeding = asyncio.ensure_future(_feed(process, stream))
    try:
        await asyncio.gather(forward(STDOUT, process.stdout), forward(STDERR, process.stderr))
        status = await process.wait()
        await send(EXIT, bytes([status if status >= 0 else 128 - status]))
    finally:
        feeding.cancel()
        _hang_up(process)


async def _run_merged(argv: Sequence[str], stream: Stream) -> None:
    process = await _spawn(argv, asyncio.subprocess.STDOUT)
    assert process.stdout is not None and process.stdin is not None
    process.stdin.close()
    try:
        while data := await process.stdout.read(_CHUNK):
            await stream.write(data)
        await process.wait()
    finally:
        _hang_up(process)


async def _feed(process: asyncio.subprocess.Process, stream: Stream) -> None:
    """Hand the host's packets to the command until the host closes its end; then hang up."""
    assert process.stdin is not None
    try:
        while True:
            kind, size = _PACKET.unpack(await stream.read(_PACKET.size))
            data = await stream.read(size)
            with contextlib.suppress(ConnectionError):  # the command does not read any more
                if kind == STDIN:
                    process.stdin.write(data)
                    await process.stdin.drain()
                elif kind == CLOSE_STDIN:
                    process.stdin.close()
    except EOFError:
        _hang_up(process)


async def _spawn(argv: Sequence[str], stderr: int) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *argv, stdin=pipe, stdout=pipe, stderr=stderr, start_new_session=True
    )


def _hang_up(process: asyncio.subprocess.Process) -> None:
    """As adbd does when the host goes away: the shell hears it, what it has started does not."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGHUP)
