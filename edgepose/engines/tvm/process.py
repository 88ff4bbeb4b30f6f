"""TVM works in a fresh process without torch, in a process group of its own.

Parent and child share a folder: the request and the answer are JSON files in it, and what the
child reports meanwhile are JSON lines on its stdout. The child's stdin stays open for as long as
the parent lives: its end ends the child and all that the child started.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import edgepose
from edgepose import errors
from edgepose.deadline import Deadline
from edgepose.errors import BuildError, EdgePoseError
from edgepose.files import write_atomic

Event = dict[str, Any]
ERROR, LOG = "error.json", "log.txt"
_REPORT = "Try another recipe, for example onnxruntime-fp32; please report the model."
_ROOT = Path(edgepose.__file__).parent.parent
_NO_TORCH = 'raise ImportError("torch is kept out of this process")\n'


def ignore(event: Event) -> None:
    """Do nothing with ``event``."""


def run_child(
    module: str,
    arguments: list[str],
    folder: Path,
    deadline: Deadline,
    *,
    doing: str,
    hint: str = _REPORT,
    on_event: Callable[[Event], None] = ignore,
) -> None:
    """Run ``python -m MODULE ARGUMENTS… FOLDER`` to its end; ``on_event`` gets what it reports.

    Whatever ends this call early (the deadline, an exception, Ctrl-C) ends the whole process group.
    Raises the child's own EdgePoseError, and BuildError (with ``hint``) where it dies or takes too
    long.
    """
    (folder / ERROR).unlink(missing_ok=True)
    with (folder / LOG).open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", module, *arguments, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=_environment(folder),
            start_new_session=True,
        )
    timer = threading.Timer(deadline.remaining_s, _end_group, [child.pid])
    timer.daemon = True  # it may be set for months
    timer.start()
    try:
        assert child.stdout, "a pipe was asked for"
        for line in child.stdout:
            on_event(json.loads(line))
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    finally:
        timer.cancel()
        _end_group(child.pid)  # not reaped yet: the number is still the child's own
        code = child.wait()
        for pipe in (child.stdin, child.stdout):
            with suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr]
    if code:
        raise _failure(folder, code, deadline, doing, hint)


def serve(work: Callable[[Path, Callable[[Event], None]], None], folder: Path) -> int:
    """The child's side: do ``work`` in ``folder`` and return the exit code.

    ``work`` gets the function that reports an event. What it prints goes to the log.
    """
    events = os.fdopen(
        os.dup(1), "w"
    )  # not inherited: only this process can keep the parent waiting
    os.dup2(2, 1)
    if os.getpgrp() == os.getpid():  # not when started by hand
        threading.Thread(target=_end_with_parent, daemon=True).start()

    def report(event: Event) -> None:
        events.write(json.dumps(event) + "\n")
        events.flush()

    try:
        work(folder, report)
    except EdgePoseError as error:
        said = {"kind": type(error).__name__, "message": str(error), "hint": error.hint}
        write_atomic(folder / ERROR, json.dumps(said))
        return error.exit_code
    return 0


def _environment(folder: Path) -> dict[str, str]:
    """This process's environment, edgepose importable, torch not: TVM imports it wherever it is."""
    hidden = folder / "without"
    write_atomic(hidden / "torch.py", _NO_TORCH)
    paths = [str(hidden), str(_ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONSAFEPATH": "1",  # `-m` would put the current folder first
    }


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _end_group(leader: int) -> None:
    """End the process group of ``leader``, which may be gone while its children are not."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _failure(folder: Path, code: int, deadline: Deadline, doing: str, hint: str) -> EdgePoseError:
    if (folder / ERROR).is_file():
        said = json.loads((folder / ERROR).read_text())
        kind: type[EdgePoseError] = getattr(errors, said["kind"])
        return kind(said["message"], hint=said["hint"])
    log = (folder / LOG).read_text(errors="replace").strip()
    if deadline.expired:
        return BuildError(f"{doing} was stopped: its time was up", hint="Allow it more time.")
    if code < 0:
        name = signal.Signals(-code).name
        return BuildError(
            f"{doing} died of {name}: {log[-300:] or 'no message'}",
            hint="SIGKILL is mostly a lack of memory." if name == "SIGKILL" else hint,
        )
    last = log.splitlines()[-1] if log else "no message"
    return BuildError(f"{doing} failed: {last[:600]}", hint=hint)
