"""The device side of the adb protocol: messages, one link to an adb server, and its streams.

Written from the protocol's public documentation. A message is a header of six little-endian words
(command, two arguments, length of the data, its checksum, the command inverted) and the data. A
stream is opened by the host, carries one message per direction at a time, each answered by OKAY.
"""

import asyncio
import contextlib
import os
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

CNXN, AUTH, OPEN, OKAY, WRTE, CLSE = b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"WRTE", b"CLSE"
# From this version on checksums are neither sent nor looked at.
VERSION = 0x01000001
MAX_DATA = 256 * 1024
AUTH_TOKEN, AUTH_PUBLIC_KEY = 1, 3
_HEADER = struct.Struct("<4s4I4s")


@dataclass(frozen=True)
class Message:
    command: bytes
    first: int
    second: int
    data: bytes = b""

    def encode(self) -> bytes:
        inverted = bytes(byte ^ 0xFF for byte in self.command)
        checksum = sum(self.data) & 0xFFFFFFFF if self.command in (CNXN, AUTH) else 0
        size = len(self.data)
        fields = (self.command, self.first, self.second, size, checksum, inverted)
        return _HEADER.pack(*fields) + self.data


async def read_message(reader: asyncio.StreamReader) -> Message:
    """The next message. Raises ConnectionError for what is none, IncompleteReadError at the end."""
    header = await reader.readexactly(_HEADER.size)
    command, first, second, size, _checksum, inverted = _HEADER.unpack(header)
    if bytes(byte ^ 0xFF for byte in command) != inverted or size > MAX_DATA:
        raise ConnectionError(f"no adb message: {header!r}")
    return Message(command, first, second, await reader.readexactly(size))


class Stream:
    """One opened service. Reading raises EOFError when the host has closed its end."""

    def __init__(self, link: "Link", local: int, remote: int) -> None:
        self._link = link
        self._ids = (local, remote)
        self._incoming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._acknowledged = asyncio.Semaphore(1)
        self._buffer = bytearray()
        self.closed = asyncio.Event()

    async def read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = await self._incoming.get()
            if data is None:
                self._incoming.put_nowait(None)
                raise EOFError
            self._buffer += data
            # Only now, so that a slow reader holds the host back.
            await self._link.send(Message(OKAY, *self._ids))
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    async def write(self, data: bytes) -> None:
        """Send ``data``. Raises EOFError when the host has closed its end."""
        for start in range(0, len(data), self._link.max_data):
            await self._acknowledged.acquire()
            if self.closed.is_set():
                raise EOFError
            piece = data[start : start + self._link.max_data]
            await self._link.send(Message(WRTE, *self._ids, piece))

    def received(self, message: Message) -> None:
        """What the host sent on this stream."""
        if message.command == WRTE:
            self._incoming.put_nowait(message.data)
        elif message.command == OKAY:
            self._acknowledged.release()
        elif message.command == CLSE:
            self.closed.set()
            self._incoming.put_nowait(None)
            self._acknowledged.release()


Service = Callable[[Stream], Awaitable[None]]


class Phone:
    """What a link asks of the phone; the test changes it while the phone runs."""

    def __init__(self, banner: str, find_service: Callable[[str], Service | None]) -> None:
        self.banner = banner
        self.find_service = find_service
        self.authorized = asyncio.Event()


class Link:
    """The connection to one adb server. When it ends, so do the services opened through it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, phone: Phone
    ) -> None:
        self.max_data = 4096
        self._reader, self._writer, self._phone = reader, writer, phone
        self._streams: dict[int, Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._opened = 0

    async def serve(self) -> None:
        try:
            while True:
                await self._handle(await read_message(self._reader))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._writer.close()

    def cut(self) -> None:
        """Break the connection off, as a pulled cable does."""
        self._writer.transport.abort()

    async def send(self, message: Message) -> None:
        self._writer.write(message.encode())
        await self._writer.drain()

    async def _handle(self, message: Message) -> None:
        if message.command == CNXN:
            self.max_data = min(message.second, MAX_DATA)
            if self._phone.authorized.is_set():
                await self._welcome()
            else:
                await self.send(Message(AUTH, AUTH_TOKEN, 0, os.urandom(20)))
        elif message.command == AUTH and message.first == AUTH_PUBLIC_KEY:
            # The host has no other key to offer: its user is asked on the screen.
            self._run(self._welcome_when_accepted())
        elif message.command == AUTH:
            await self.send(Message(AUTH, AUTH_TOKEN, 0, os.urandom(20)))
        elif message.command == OPEN:
            await self._open(message)
        elif message.second in self._streams:
            self._streams[message.second].received(message)

    async def _welcome(self) -> None:
        await self.send(Message(CNXN, VERSION, MAX_DATA, self._phone.banner.encode()))

    async def _welcome_when_accepted(self) -> None:
        await self._phone.authorized.wait()
        await self._welcome()

    async def _open(self, message: Message) -> None:
        name = message.data.rstrip(b"\0").decode(errors="surrogateescape")
        service = self._phone.find_service(name)
        if service is None:
            await self.send(Message(CLSE, 0, message.first))
            return
        self._opened += 1
        stream = self._streams[self._opened] = Stream(self, self._opened, message.first)
        await self.send(Message(OKAY, self._opened, message.first))
        self._run(self._serve_stream(service, stream, self._opened, message.first))

    async def _serve_stream(
        self, service: Service, stream: Stream, local: int, remote: int
    ) -> None:
        try:
            with contextlib.suppress(EOFError, ConnectionError):
                await service(stream)
        finally:
            del self._streams[local]
            with contextlib.suppress(ConnectionError):
                await self.send(Message(CLSE, local, remote))

    def _run(self, coroutine: Awaitable[None]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
