"""Whether two boards tune twice the candidates per minute of one, on emulated boards.

``python -m benchmarks.two_boards`` from the repository's root; see benchmarks/README.md.
"""

import argparse
import math
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, chdir
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.results_file import circumstances, write_results
from edgepose.devices.inventory import add_device
from edgepose.engines.tvm.process import Event
from edgepose.places import shipped
from edgepose.targets import load_target
from edgepose.tuning.session import tune
from edgepose.tuning.settings import SearchSettings
from tests.emulation.board import running_board
from tests.emulation.conftest import entry
from tests.tiny_nets import save_heatmap_net

_TARGET, _LIKE = "one-core", "rpi4"
_LIMIT = 1.7
_ORDER = ("first",), ("first", "second")  # turned round in every other pair
_HEADERS = ("boards", "candidates", "s", "candidates per minute")


@dataclass(frozen=True)
class Session:
    """``candidates`` of a tuning that ended in the ``seconds`` after its first round."""

    boards: int
    candidates: int
    seconds: float

    @property
    def per_minute(self) -> float:
        return 60 * self.candidates / self.seconds


def main() -> int:
    """Returns 0 where the ratio is at least 1.7."""
    arguments = _arguments()
    found = circumstances()
    settings = SearchSettings(
        round_size=4,
        # Guessing costs little, and no candidate is too slow for a whole measurement: what is
        # looked at is how boards are kept busy, not what they find.
        population=8,
        min_unmeasured=4,
        generations=1,
        hopeless_factor=1e9,
        repeats=arguments.repeats,
        min_repeat_ms=arguments.repeat_ms,
    )
    with tempfile.TemporaryDirectory() as scratch, chdir(scratch):
        sessions = _sessions(Path(scratch), arguments.pairs, arguments.trials, settings)
    ratio = _ratio(sessions)
    notes = [
        f"**Two boards / one: {ratio:.2f}** (geometric mean of {arguments.pairs} pairs, taken in "
        f"turns; at least {_LIMIT} is wanted).",
        f"Counted from the end of a session's first round of {settings.round_size} on. A candidate "
        f"is timed for {settings.repeats} times {settings.min_repeat_ms} ms, on one thread: boards "
        "under emulation use this host's cores, beside the compiler, so measuring must dominate as "
        "it does on slow boards.",
        "Each session begins with an empty database and the same seed.",
    ]
    rows = [
        [str(s.boards), str(s.candidates), f"{s.seconds:.1f}", f"{s.per_minute:.2f}"]
        for s in sessions
    ]
    data = {"ratio": ratio, "sessions": [asdict(session) for session in sessions]}
    write_results("two_boards", found, data, _HEADERS, rows, notes)
    return int(ratio < _LIMIT)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=2, help="sessions with one and with two")
    parser.add_argument("--trials", type=int, default=16, help="of each session")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--repeat-ms", type=int, default=2000, help="of one repeat")
    return parser.parse_args()


def _sessions(folder: Path, pairs: int, trials: int, settings: SearchSettings) -> list[Session]:
    """In turns, each with records of its own; the current folder holds target and inventory."""
    _write_target(folder / "targets")
    net = save_heatmap_net(folder / "net.onnx", channels=32)
    sessions: list[Session] = []
    with ExitStack() as stack:
        for name in _ORDER[-1]:
            board = stack.enter_context(running_board(folder / name))
            add_device(entry(board, name, target=_TARGET))
        for pair in range(pairs):
            for names in _ORDER if pair % 2 == 0 else reversed(_ORDER):
                os.environ["EDGEPOSE_DATA"] = str(folder / f"data-{len(sessions)}")
                sessions.append(_session(net, names, trials, settings))
    return sessions


def _write_target(folder: Path) -> None:
    """The Pi with one thread, so that one board leaves a core of this host to the other."""
    folder.mkdir()
    text = (shipped("targets") / f"{_LIKE}.toml").read_text()
    (folder / f"{_TARGET}.toml").write_text(text.replace("[cpu]\n", "[cpu]\nthreads = 1\n"))
    assert load_target(_TARGET).cpu.threads == 1


def _session(net: Path, names: Sequence[str], trials: int, settings: SearchSettings) -> Session:
    rounds: list[Event] = []

    def note(event: Event) -> None:
        if event["event"] == "round":
            rounds.append(event)

    tune(str(net), _TARGET, list(names), trials=trials, settings=settings, on_event=note)
    first, last = rounds[0], rounds[-1]
    candidates, seconds = (last[key] - first[key] for key in ("trials", "elapsed_s"))
    session = Session(len(names), candidates, seconds)
    print(f"{session.boards} board(s): {session.per_minute:.2f} per minute", flush=True)
    return session


def _ratio(sessions: Sequence[Session]) -> float:
    """Candidates per minute of two boards over those of one, geometric mean of the pairs."""
    logs = [
        math.log(session.per_minute) * (1 if session.boards == 2 else -1) for session in sessions
    ]
    return math.exp(2 * sum(logs) / len(logs))


if __name__ == "__main__":
    sys.exit(main())
