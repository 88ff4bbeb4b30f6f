"""``python -m edgepose.tuning.worker FOLDER``: the tuning process. It has TVM and no torch.

It lowers the net, starts TVM's tracker on this host's loopback where boards measure, tells its port
and waits for ``boards.json``: how many boards its parent brought there. Then it searches.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgepose.engines.tvm import fast_stack
from edgepose.engines.tvm.hardware import TvmTarget
from edgepose.engines.tvm.process import Event, serve
from edgepose.tuning.settings import SearchSettings

if TYPE_CHECKING:
    from edgepose.tuning.search import Search

REQUEST, BOARDS = "request.json", "boards.json"
_POLL_S = 0.1
_LOOPBACK = "127.0.0.1"
_FIRST_PORT, _LAST_PORT = 9190, 9990  # TVM takes the first free one, and knows no port 0


class TuneRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to tune and for how long.

    ``records`` is the database's folder, ``seeds`` another one to start from. ``trials`` counts
    what ``records`` holds already. ``key`` is the boards' name at the tracker; None: the candidates
    run in a process here, without any tracker. ``alone`` forbids to build while one is timed.
    """

    onnx: str
    target: TvmTarget
    records: str
    seeds: str | None
    names: tuple[str, ...]
    trials: int
    time_s: float | None
    key: str | None
    alone: bool
    settings: SearchSettings


def main(folder: str) -> int:
    fast_stack.install()
    return serve(_tune, Path(folder))


def _tune(folder: Path, report: Callable[[Event], None]) -> None:
    from edgepose.engines.tvm.lower import lower
    from edgepose.tuning.pools import Builders, Measurers
    from edgepose.tuning.search import Search

    started = time.monotonic()
    request = msgspec.json.decode((folder / REQUEST).read_bytes(), type=TuneRequest)
    settings, cores = request.settings, len(os.sched_getaffinity(0))
    scratch, libraries = folder / "tvm", folder / "candidates"
    for each in (scratch, libraries):
        each.mkdir(exist_ok=True)
    search = Search(
        lower(Path(request.onnx), request.target),
        request.target,
        Path(request.records),
        scratch,
        names=request.names,
        seeds=Path(request.seeds) if request.seeds else None,
        threads=cores,
        settings=settings,
    )
    report(_tasks(search))
    measured = sum(state.trials for state in search.states)
    if request.trials <= measured:
        report({"event": "done", "why": "trials", "elapsed_s": 0.0})
        return
    tracker, boards = _boards(folder, report) if request.key else (None, 1)
    builders = Builders(cores, libraries, request.target.arch, settings)
    measurers = Measurers(
        boards, folder, tracker.port if tracker else None, request.key or "", settings
    )
    try:
        why = search.run(
            builders,
            measurers,
            trials=request.trials - measured,
            until=None if request.time_s is None else started + request.time_s,
            rounds_ahead=0 if request.alone else 1 + boards // settings.round_size,
            report=report,
        )
    finally:
        measurers.close()
        builders.close()
        if tracker:
            tracker.terminate()
    report({"event": "done", "why": why, "elapsed_s": time.monotonic() - started})


def _tasks(search: "Search") -> Event:
    return {
        "event": "tasks",
        **search.summary(),
        "tasks": [
            {
                "name": state.name,
                "weight": state.weight,
                "flops": state.flops,
                "trials": state.trials,
                "best_ms": None if state.best_s is None else state.best_s * 1e3,
            }
            for state in search.states
        ],
    }


def _boards(folder: Path, report: Callable[[Event], None]) -> tuple[Any, int]:
    """A tracker, and how many boards the parent has brought to it."""
    from tvm.rpc.tracker import Tracker

    tracker = Tracker(host=_LOOPBACK, port=_FIRST_PORT, port_end=_LAST_PORT, silent=True)
    report({"event": "tracker", "port": tracker.port})
    while not (folder / BOARDS).is_file():
        time.sleep(_POLL_S)
    boards: int = msgspec.json.decode((folder / BOARDS).read_bytes())
    return tracker, boards


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
