"""Build one candidate and time it: what the workers of TVM's process pools run.

A candidate's own failures (it does not compile, it crashes, it takes too long) are results. What
goes wrong with the board is not the candidate's fault: it is tried again, elsewhere if need be.
"""

import faulthandler
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec

from edgepose.tuning.settings import SearchSettings

WAIT, BOARD, RUN = "wait", "board", "run"  # the phases of a job
_THROTTLED_NOW = 0xF  # the Raspberry Pi's bits for "at this moment"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate to be timed.

    ``arguments`` are (data type, shape); ``tracker_port`` None: in the measuring process itself.
    ``phase_file`` tells whoever waits how far it came, should it never come back.
    """

    library: str
    arguments: tuple[tuple[str, tuple[int, ...]], ...]
    tracker_port: int | None
    key: str
    best_s: float | None
    phase_file: str
    settings: SearchSettings


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a candidate: ``seconds``, or why not.

    ``at_fault`` is ``candidate`` where the failure is a result, ``board`` where it is none.
    """

    seconds: float | None = None
    at_fault: Literal["candidate", "board"] | None = None
    text: str = ""


def load_compiler() -> None:
    """Import what ``build`` needs."""
    import edgepose.engines.tvm.compiling  # noqa: F401


def build(module: Any, target: Any, library: str, arch: str) -> str:
    """Compile a scheduled module (an IRModule) to the shared library ``library``."""
    from tvm.driver import build as tvm_build
    from tvm.s_tir.transform import RemoveWeightLayoutRewriteBlock

    from edgepose.engines.tvm.compiling import linker

    module = RemoveWeightLayoutRewriteBlock(skip_tensor_rewrite=True)(module)
    tvm_build(module, target=target).export_library(library, fcompile=linker(arch))
    return library


def measure(job: Job) -> Outcome:
    """Time one candidate on a board that the tracker hands out, or here."""

    limits_s = {
        WAIT: job.settings.board_wait_s,
        BOARD: job.settings.board_wait_s + job.settings.cool_down_s,
        RUN: job.settings.run_timeout_s,
    }

    def enter(phase: str) -> None:
        Path(job.phase_file).write_text(phase)
        # Ends this process although it is deep in a call of TVM's: nothing else could.
        faulthandler.dump_traceback_later(limits_s[phase], exit=True)

    try:
        enter(WAIT)
        place = _Here() if job.tracker_port is None else _Board(job.tracker_port, job)
        enter(BOARD)
        return measure_at(place, job, enter)
    except Exception as error:  # noqa: BLE001 whatever TVM raises: the board is not to be had
        return Outcome(at_fault="board", text=_first_line(error))
    finally:
        faulthandler.cancel_dump_traceback_later()


def measure_at(place: "_Here | _Board", job: Job, enter: Callable[[str], None]) -> Outcome:
    fault: Literal["candidate", "board"] = "board"
    try:
        for _ in range(job.settings.throttled_retries):
            before = place.wait_until_cool(job.settings)
            module = place.load(job.library)
            arguments = [place.tensor(*argument) for argument in job.arguments]
            enter(RUN)
            fault = "candidate"
            seconds = _time(module, place.device, arguments, job)
            enter(BOARD)
            fault = "board"
            if not _throttled(place.health(), before):
                return Outcome(seconds=seconds)
        return Outcome(at_fault="board", text="the board throttles: it could not be timed")
    except Exception as error:  # noqa: BLE001 TVM raises RuntimeError and many others alike
        return Outcome(at_fault=fault, text=_first_line(error))
    finally:
        with suppress(Exception):
            place.clean(job.library)


def _time(module: Any, device: Any, arguments: list[Any], job: Job) -> float:
    settings, name = job.settings, module.entry_name
    first_s = float(module.time_evaluator(name, device, number=1, repeat=1)(*arguments).results[0])
    if job.best_s is not None and first_s > max(settings.hopeless_factor * job.best_s, 1e-3):
        return first_s
    timer = module.time_evaluator(
        name, device, number=1, repeat=settings.repeats, min_repeat_ms=settings.min_repeat_ms
    )
    return float(min(timer(*arguments).results))


class _Here:
    """The measuring process itself."""

    def __init__(self) -> None:
        import tvm

        self.device = tvm.cpu(0)

    def load(self, library: str) -> Any:
        import tvm

        return tvm.runtime.load_module(library)

    def tensor(self, dtype: str, shape: tuple[int, ...]) -> Any:
        return _filled(dtype, shape, self.device)

    def health(self) -> dict[str, Any]:
        return {}

    def wait_until_cool(self, settings: SearchSettings) -> dict[str, Any]:
        return {}

    def clean(self, library: str) -> None:
        """Nothing is left here but the library, which is its builder's."""


class _Board:
    """One session on a board: a fresh server there, which a crashing candidate may take along."""

    def __init__(self, tracker_port: int, job: Job) -> None:
        from tvm import rpc

        tracker = rpc.connect_tracker("127.0.0.1", tracker_port)
        settings = job.settings
        # For the worst case, or else a long wait for coolness would end in the candidate's run.
        timeout_s = settings.throttled_retries * (settings.run_timeout_s + settings.cool_down_s)
        self._session = tracker.request(job.key, session_timeout=int(timeout_s), max_retry=1)
        self.device = self._session.cpu(0)
        try:
            self._health = self._session.get_function("edgepose.health")
        except (AttributeError, RuntimeError, ValueError):
            self._health = None

    def load(self, library: str) -> Any:
        self._session.upload(library)
        return self._session.load_module(Path(library).name)

    def tensor(self, dtype: str, shape: tuple[int, ...]) -> Any:
        return _filled(dtype, shape, self.device)

    def health(self) -> dict[str, Any]:
        return json.loads(str(self._health())) if self._health else {}

    def wait_until_cool(self, settings: SearchSettings) -> dict[str, Any]:
        """Wait while it is hot or throttled. Raises TimeoutError where that lasts."""
        end = time.monotonic() + settings.cool_down_s
        while True:
            health = self.health()
            if not _hot(health, settings.hot_c) and not _bits(health) & _THROTTLED_NOW:
                return health
            if time.monotonic() > end:
                raise TimeoutError(f"the board stayed hot for {settings.cool_down_s:.0f} s")
            time.sleep(2.0)

    def clean(self, library: str) -> None:
        self._session.remove(Path(library).name)


def _filled(dtype: str, shape: tuple[int, ...], device: Any) -> Any:
    """A tensor of noise: zeros and denormals would be timed wrongly."""
    import numpy as np
    import tvm

    values = np.random.default_rng(0).uniform(-1, 1, shape).astype(dtype)
    return tvm.runtime.tensor(values, device)


def _hot(health: dict[str, Any], limit_c: float) -> bool:
    return max((health.get("temperatures_c") or {}).values(), default=0.0) >= limit_c


def _throttled(after: dict[str, Any], before: dict[str, Any]) -> bool:
    """Whether the firmware limits the clock now, or did so since ``before``."""
    happened = (_bits(after) & ~_bits(before)) >> 16
    return bool((_bits(after) | happened) & _THROTTLED_NOW)


def _bits(health: dict[str, Any]) -> int:
    return int(health.get("throttled") or "0", 16)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else ''}"[:300]
