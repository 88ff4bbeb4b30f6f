"""A tuning from the caller's side: graph, boards, the tuning process, and the database's state."""

import logging
import secrets
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

import edgepose
from edgepose.deadline import Deadline
from edgepose.devices.device import Device
from edgepose.engines.tvm.process import Event, ignore, run_child
from edgepose.engines.tvm.record_lines import read_lines, thin, write_lines
from edgepose.engines.tvm.records import (
    ABOUT,
    About,
    best_records,
    read_about,
    records_folder,
    sole_writer,
    tvm_version,
    write_about,
)
from edgepose.errors import RecordsError, RunError
from edgepose.files import write_atomic
from edgepose.targets import load_target
from edgepose.tuning.fleet import Fleet, holding
from edgepose.tuning.settings import SearchSettings
from edgepose.tuning.subject import Subject, entries_of, find_subject
from edgepose.tuning.worker import BOARDS, REQUEST, TuneRequest

DEFAULT_TRIALS = 1000
_WORKER = "edgepose.tuning.worker"
_FOREVER_S = 90 * 86400.0
_GRACE_S = 1800.0  # for lowering the net, and for the round under way when the time is up
_RESUME = "What was measured is kept: run the same command again."
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TuningResult:
    """What a tuning left behind. ``estimate_ms`` is the sum of the tasks' best times.

    ``tasks_missing`` have no success yet; ``share`` of the operations lies in the others. ``why``
    it ended: ``trials``, ``time`` or ``exhausted`` (no new candidate could be found).
    """

    folder: Path
    about: About
    why: str
    estimate_ms: float
    tasks: int
    tasks_missing: int
    share: float
    elapsed_s: float


def tune(
    model: str,
    target: str = "host",
    devices: Sequence[str] = ("local",),
    *,
    trials: int = DEFAULT_TRIALS,
    time_s: float | None = None,
    tasks: Sequence[str] = (),
    proxy: bool = False,
    weights: Path | str | None = None,
    serves: Sequence[str] = (),
    settings: SearchSettings | None = None,
    on_event: Callable[[Event], None] = ignore,
) -> TuningResult:
    """Search for the best schedules of ``model`` on ``devices``, which are of ``target``.

    ``trials`` is what the database is to hold at the end: the same call again goes on where an
    earlier one stopped. ``tasks`` are parts of names of tasks. With ``proxy`` this host stands in
    for the target's CPU (``serves`` names further targets with the same registers), and a tuning
    on boards starts from such records. Raises UsageError, DeviceError, BuildError, RecordsError and
    RunError; what was measured until then is kept.
    """
    entries = entries_of(devices, target, proxy)
    _log.info("%s: preparing the graph", model)
    subject = find_subject(model, target, proxy, weights)
    folder = records_folder(subject.graph_hash, target, subject.origin)
    with sole_writer(folder):
        started = _begin(folder, subject, entries, serves)
        write_about(folder, started)
        try:
            seen = search(
                subject,
                entries,
                folder,
                trials=trials,
                time_s=time_s,
                tasks=tasks,
                settings=settings or SearchSettings(),
                on_event=on_event,
            )
        finally:
            about = _end(folder, started)
    return _result(folder, about, seen)


def search(
    subject: Subject,
    devices: Sequence[Device],
    folder: Path,
    *,
    trials: int,
    time_s: float | None,
    tasks: Sequence[str],
    settings: SearchSettings,
    on_event: Callable[[Event], None] = ignore,
) -> list[Event]:
    """Hold ``devices`` and let the tuning process append to the database in ``folder``.

    Returns all that it reported. Whatever ends this, the process and the boards' servers end too.
    """
    seen: list[Event] = []
    key = f"edgepose-{secrets.token_hex(4)}"
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="edgepose-tune-")))
        fleet = stack.enter_context(_fleet(subject, devices))

        def handle(event: Event) -> None:
            if event["event"] == "tracker":
                fleet.offer(event["port"], key)
                write_atomic(scratch / BOARDS, msgspec.json.encode(len(devices)))
                return
            seen.append(event)
            on_event(event)

        request = TuneRequest(
            onnx=str(subject.prepared.graph.path.resolve()),
            target=subject.hardware,
            records=str(folder.resolve()),
            seeds=_seeds(subject, scratch, settings),
            names=tuple(tasks),
            trials=trials,
            time_s=time_s,
            key=key,
            alone=any(device.transport == "local" for device in devices),
            settings=settings,
        )
        write_atomic(scratch / REQUEST, msgspec.json.encode(request))
        deadline = Deadline.after(_FOREVER_S if time_s is None else time_s + _GRACE_S)
        try:
            run_child(_WORKER, [], scratch, deadline, doing="tuning", hint=_RESUME, on_event=handle)
        except RunError as error:
            raise _with_causes(error, fleet) from None
    return seen


def _with_causes(error: RunError, fleet: Fleet) -> RunError:
    """``error`` with what the boards' agents know, which the tuning process does not."""
    causes = [f"{board.name}: {board.detail}" for board in fleet.boards if board.detail]
    return RunError("; ".join([str(error), *causes]), hint=error.hint)


def _fleet(subject: Subject, devices: Sequence[Device]) -> AbstractContextManager[Fleet]:
    if subject.origin == "board":
        return holding(devices, subject.target)
    host = load_target("host")
    return holding(devices, host, threads=min(subject.hardware.cores, host.cpu.cores))


def _seeds(subject: Subject, scratch: Path, settings: SearchSettings) -> str | None:
    """A copy of the best records of a proxy: boards begin with them."""
    if subject.origin != "board":
        return None
    known = best_records(subject.graph_hash, subject.target.name, ("proxy",))
    if known is None:
        return None
    lines = thin(read_lines(known.folder), settings.seeds_per_task)
    write_lines(lines, scratch / "seeds")
    _log.info("starting from the proxy's best records (%s)", known.folder)
    return str(scratch / "seeds")


def _begin(
    folder: Path, subject: Subject, devices: Sequence[Device], serves: Sequence[str]
) -> About:
    """What ``about.json`` says from now on. Raises RecordsError for a database of another net."""
    earlier = read_about(folder) if (folder / ABOUT).is_file() else None
    if earlier and earlier.graph_hash != subject.graph_hash:
        raise RecordsError(
            f"{folder} holds the records of another graph ({earlier.model})",
            hint="Put the folder aside and tune again.",
        )
    targets = (subject.target.name, *serves, *(earlier.targets if earlier else ()))
    names = (*(earlier.devices if earlier else ()), *(device.name for device in devices))
    return About(
        model=subject.prepared.spec.name,
        graph_hash=subject.graph_hash,
        targets=tuple(dict.fromkeys(targets)),
        block=subject.hardware.block,
        tvm_version=tvm_version(),
        origin=subject.origin,
        trials=earlier.trials if earlier else 0,
        failed=earlier.failed if earlier else 0,
        devices=tuple(dict.fromkeys(names)),
        emulated=(earlier is not None and earlier.emulated) or any(d.emulated for d in devices),
        created_at=earlier.created_at if earlier else _now(),
        edgepose_version=edgepose.__version__,
    )


def _end(folder: Path, about: About) -> About:
    """Count what the database holds now, and seal it."""
    lines = read_lines(folder)
    about = msgspec.structs.replace(
        about, trials=len(lines.trials), failed=lines.failed, sha256=lines.sha256
    )
    write_about(folder, about)
    return about


def _result(folder: Path, about: About, seen: Sequence[Event]) -> TuningResult:
    done = seen[-1]
    rounds = [event for event in seen if event["event"] == "round"]
    state = rounds[-1] if rounds else next(e for e in seen if e["event"] == "tasks")
    tasks = next(event["tasks"] for event in seen if event["event"] == "tasks")
    return TuningResult(
        folder=folder,
        about=about,
        why=done["why"],
        estimate_ms=state["estimate_ms"],
        tasks=len(tasks),
        tasks_missing=state["tasks_missing"],
        share=state["share"],
        elapsed_s=done["elapsed_s"],
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
