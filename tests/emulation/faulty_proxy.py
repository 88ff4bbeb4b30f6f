"""A TCP proxy that delays, throttles, stalls and breaks connections when a test says so.

It stands between a client and a board and needs no privileges. The proxy's own kernel goes on
acknowledging while it stalls, so TCP timeouts (TCP_USER_TIMEOUT, keep-alive probes) do not see
an outage; only limits on the SSH or application layer do.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

CHUNK = 16 * 1024
# How much a connection may hold back per direction before its sender has to wait.
QUEUED_CHUNKS = 64
# SO_LINGER with zero seconds makes a close send RST instead of FIN.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class FaultyProxy:
    """A proxy to one server, run by a thread of its own; every method is for any other thread."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="faulty-proxy", daemon=True
        )
        self._listener: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._latency = 0.0
        self._rate: float | None = None
        self._reset_at: int | None = None
        self._resetting: asyncio.Task[None] | None = None
        self._reset_is_near = False
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._forwarded = 0
        self.host = "127.0.0.1"
        self.port = 0

    def start(self) -> Self:
        """Listen on a free port, from now on `port`."""
        self._thread.start()
        self._call(self._listen())
        return self

    def close(self) -> None:
        """Break every connection and end the thread; a second call does nothing."""
        if self._loop.is_closed():
            return
        if self._thread.is_alive():
            self._call(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def forwarded(self) -> int:
        """The bytes handed on so far, in both directions and over all connections."""
        return self._forwarded

    def set_latency(self, seconds: float) -> None:
        """Deliver every byte this much later, in each direction."""
        self._latency = seconds

    def set_rate(self, bytes_per_second: float | None) -> None:
        """Limit each direction of each connection; None for no limit."""
        self._rate = bytes_per_second

    def stall(self) -> None:
        """Hand nothing on any more, in silence, until `resume`; new connections hang too."""
        self._call(self._set_flowing(False))

    def resume(self) -> None:
        """Let the bytes flow again, those held back first."""
        self._call(self._set_flowing(True))

    def reset(self) -> None:
        """Break every live connection with a TCP reset; new ones are welcome."""
        self._call(self._reset())

    def reset_after(self, forwarded_bytes: int) -> None:
        """Hand on this many more bytes, both directions together, then reset once."""
        self._reset_at = self._forwarded + forwarded_bytes

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._accept, self.host, 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        if self._listener is not None:
            self._listener.close()
        await self._reset()

    async def _set_flowing(self, flowing: bool) -> None:
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _reset(self) -> None:
        self._reset_is_near = False
        for writer in self._writers:
            connection = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):  # the peer may have closed it already
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            writer.transport.abort()
        current = asyncio.current_task()
        ending = {task for task in self._connections if task is not current}
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        self._writers.add(writer)
        try:
            await self._flowing.wait()
            server_reader, server_writer = await asyncio.open_connection(*self._server)
            writers.append(server_writer)
            self._writers.add(server_writer)
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._pump(reader, server_writer))
                directions.create_task(self._pump(server_reader, writer))
        except* OSError:  # one side went away: so does the other
            pass
        finally:
            for each in writers:
                each.transport.abort()
                self._writers.discard(each)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one direction of one connection until its sender has closed."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUED_CHUNKS)
        receiving = self._loop.create_task(self._receive(reader, queue))
        try:
            while True:
                due, chunk = await queue.get()
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                await self._flowing.wait()
                if not chunk:
                    break
                if self._rate is not None:
                    await asyncio.sleep(len(chunk) / self._rate)
                await self._hand_on(chunk, writer)
            writer.write_eof()
        finally:
            receiving.cancel()

    async def _receive(
        self, reader: asyncio.StreamReader, queue: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        chunk = b"-"
        while chunk:
            try:
                chunk = await reader.read(CHUNK)
            except OSError:
                chunk = b""
            await queue.put((self._loop.time() + self._latency, chunk))

    async def _hand_on(self, chunk: bytes, writer: asyncio.StreamWriter) -> None:
        if writer.transport.is_closing() or self._reset_is_near:
            return  # the other direction's reset comes first
        due = self._reset_at is not None and self._forwarded + len(chunk) >= self._reset_at
        if due:
            assert self._reset_at is not None
            chunk = chunk[: self._reset_at - self._forwarded]
        self._forwarded += len(chunk)
        writer.write(chunk)
        await writer.drain()
        if due:
            self._reset_at = None
            self._reset_is_near = True
            # in a task of its own, for it cancels this one
            self._resetting = self._loop.create_task(self._reset())
            await self._loop.create_future()
