"""The one thread that computes: sessions of nets are not thread-safe, the server must not wait."""

import asyncio
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Worker:
    """Calls functions one after another, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="edgepose-worker", daemon=True)
        self._thread.start()

    async def run(self, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """What ``function`` returns or raises; CancelledError once the worker closes."""

        async def call() -> T:
            if self._closing:
                raise asyncio.CancelledError
            return function(*args, **named)

        if self._closing:
            raise asyncio.CancelledError
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), self._loop))

    def close(self) -> None:
        """Call nothing more, and wait for the call under way: C++ aborts where it is torn away."""
        if not self._closing:
            self._closing = True
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _work(self) -> None:
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(_others())
        finally:
            self._loop.close()


async def _others() -> None:
    """Wait for the calls that have not begun, each of which finds that we are closing."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
