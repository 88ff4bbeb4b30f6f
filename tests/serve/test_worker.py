"""One thread computes, in order, while the server goes on."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from edgepose.errors import UsageError
from edgepose.serve.worker import Worker


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


def test_everything_runs_in_one_other_thread_and_in_order(worker: Worker) -> None:
    done: list[int] = []

    def work(number: int) -> int:
        done.append(number)
        return threading.get_ident()

    async def ask() -> list[int]:
        return await asyncio.gather(*(worker.run(work, number) for number in range(20)))

    threads = set(asyncio.run(ask()))
    assert len(threads) == 1 and threading.get_ident() not in threads
    assert done == list(range(20))


def test_an_error_reaches_whoever_asked_and_the_next_call_runs(worker: Worker) -> None:
    def fail() -> None:
        raise UsageError("no picture")

    async def ask() -> int:
        with pytest.raises(UsageError, match="no picture"):
            await worker.run(fail)
        return await worker.run(lambda: 7)

    assert asyncio.run(ask()) == 7


def test_the_asking_loop_goes_on_meanwhile(worker: Worker) -> None:
    async def ask() -> None:
        release = threading.Event()
        waiting = asyncio.create_task(worker.run(release.wait, 10))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        release.set()
        assert await waiting

    asyncio.run(ask())


def test_closing_waits_for_the_call_under_way_and_makes_no_other(worker: Worker) -> None:
    begun, release, called = threading.Event(), threading.Event(), []

    def slow() -> None:
        begun.set()
        release.wait(10)
        called.append("first")

    async def ask() -> None:
        waiting = [
            asyncio.create_task(worker.run(slow)),
            asyncio.create_task(worker.run(called.append, "second")),
        ]
        await asyncio.to_thread(begun.wait, 10)
        closing = asyncio.create_task(asyncio.to_thread(worker.close))
        await asyncio.sleep(0.05)
        assert not closing.done()
        release.set()
        await closing
        with pytest.raises(asyncio.CancelledError):
            await worker.run(called.append, "third")
        for task in waiting:
            task.cancel()

    asyncio.run(ask())
    assert called == ["first"]
