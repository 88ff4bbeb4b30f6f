"""Processes that build candidates and processes that time them. Needs TVM; no torch in here."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Event, local
from typing import Any

from edgepose.deadline import Deadline
from edgepose.engines.tvm import fast_stack
from edgepose.tuning.candidate import RUN, Job, Outcome, build, load_compiler, measure
from edgepose.tuning.settings import SearchSettings

_PAUSE_S = 0.5
_BUILDS_PER_PROCESS = 100  # TVM's compiler leaks memory


class Builders:
    """``workers`` processes that compile candidates to libraries in ``folder``."""

    def __init__(self, workers: int, folder: Path, arch: str, settings: SearchSettings) -> None:
        from tvm.support.popen_pool import PopenPoolExecutor

        self._folder, self._arch = folder, arch
        self._numbers = count()
        _link_once(folder, arch)
        self._pool = PopenPoolExecutor(
            max_workers=workers,
            timeout=settings.build_timeout_s,
            initializer=fast_stack.install,
            maximum_process_uses=_BUILDS_PER_PROCESS,
        )
        for _ in range(workers):
            self._pool.submit(load_compiler)  # while the first candidates are being guessed

    def build(self, modules: Sequence[Any], target: Any) -> list[Path | Outcome]:
        """A library per module, or the outcome of a candidate that does not compile."""
        futures = []
        for module in modules:
            library = self._folder / f"candidate-{next(self._numbers)}.so"
            futures.append(self._pool.submit(build, module, target, str(library), self._arch))
        return [_built(future) for future in futures]

    def close(self) -> None:
        self._pool.shutdown(wait=True)


def _link_once(folder: Path, arch: str) -> None:
    """Zig's first link makes parts of its C library, in a minute or two: no candidate's fault."""
    from edgepose.engines.tvm.compiling import linker

    source, library = folder / "nothing.cpp", folder / "nothing.so"
    source.write_text("")
    linker(arch)(str(library), [str(source)])
    source.unlink()
    library.unlink()


class Measurers:
    """One process per board that times one candidate at a time, tried again where a board failed.

    ``tracker_port`` None: one process, which runs the candidates itself. After the first candidate
    that found no board for too long the others fail at once: each would wait as long.
    """

    def __init__(
        self,
        boards: int,
        folder: Path,
        tracker_port: int | None,
        key: str,
        settings: SearchSettings,
    ) -> None:
        self._folder, self._port, self._key, self._settings = folder, tracker_port, key, settings
        self._numbers = count()
        self._threads = ThreadPoolExecutor(boards)
        self._own = local()
        self._workers: list[Any] = []
        self._ending = Event()

    def submit(
        self, library: Path, arguments: Sequence[Any], best_s: float | None
    ) -> "Future[Outcome]":
        """Time ``library``, which is deleted afterwards; ``arguments`` are TVM's TensorInfo."""
        number = next(self._numbers)
        job = Job(
            library=str(library),
            arguments=tuple(
                (str(argument.dtype), tuple(int(size) for size in argument.shape))
                for argument in arguments
            ),
            tracker_port=self._port,
            key=self._key,
            best_s=best_s,
            phase_file=str(self._folder / f"phase-{number}"),
            settings=self._settings,
        )
        return self._threads.submit(self._measure, job)

    def close(self) -> None:
        self._ending.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            # The worker's own ``kill`` would wait until its thread has read the answer.
            if (process := worker._proc) is not None:
                process.kill()

    def _measure(self, job: Job) -> Outcome:
        """A board's failure is tried again; what fails on two sessions is the candidate's own."""
        failed_runs = 0
        patience = Deadline.after(self._settings.board_wait_s)
        outcome = Outcome(at_fault="board", text="an earlier candidate found no board")
        try:
            while not self._ending.is_set():
                outcome = self._once(job)
                failed_runs += outcome.at_fault == "candidate"
                if outcome.at_fault is None or failed_runs == 2:
                    break
                if patience.expired:
                    if outcome.at_fault == "board":
                        self._ending.set()
                    break
                self._ending.wait(_PAUSE_S)
            return outcome
        finally:
            Path(job.library).unlink(missing_ok=True)
            Path(job.phase_file).unlink(missing_ok=True)

    def _once(self, job: Job) -> Outcome:
        worker, phase = self._worker(), Path(job.phase_file)
        phase.unlink(missing_ok=True)
        try:
            worker.send(measure, [job])
            outcome: Outcome = worker.recv()
        except ChildProcessError:
            if phase.is_file() and phase.read_text() == RUN:
                return Outcome(at_fault="candidate", text="it crashed or took too long")
            return Outcome(at_fault="board", text="the board did not answer in time")
        return outcome

    def _worker(self) -> Any:
        from tvm.support.popen_pool import PopenWorker

        if not hasattr(self._own, "worker"):
            self._own.worker = PopenWorker(initializer=fast_stack.install)
            self._workers.append(self._own.worker)
        return self._own.worker


def _built(future: "Future[str]") -> Path | Outcome:
    try:
        return Path(future.result())
    except TimeoutError:
        return Outcome(at_fault="candidate", text="compiling it took too long")
    except Exception as error:  # noqa: BLE001 whatever the compiler raised
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return Outcome(at_fault="candidate", text=lines[-1][:300])
