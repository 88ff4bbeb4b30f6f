"""Real candidates in the pools' own processes: whose failure is it, and does the next one work?"""

from pathlib import Path
from typing import Any

import pytest

from edgepose.deadline import Deadline
from edgepose.engines.tvm.process import Event, run_child
from edgepose.tuning.candidate import Outcome
from edgepose.tuning.pools import Measurers
from edgepose.tuning.settings import SearchSettings


def test_a_bad_candidate_is_its_own_fault_and_the_next_one_is_timed(tmp_path: Path) -> None:
    seen: dict[str, Event] = {}
    run_child(
        "tests.tuning.try_candidates",
        [],
        tmp_path,
        Deadline.after(300),
        doing="trying candidates",
        on_event=lambda event: seen.update({event["event"]: event}),
    )
    faults = {name: event["fault"] for name, event in seen.items()}
    assert faults == {
        "good": None,
        "endless": "candidate",
        "good again": None,
        "without a board": "board",
        "broken": "candidate",
    }
    assert seen["endless"]["text"] == "it crashed or took too long"
    assert seen["broken"]["text"]
    assert not list(tmp_path.glob("candidate-*")) and not list(tmp_path.glob("phase-*"))


@pytest.fixture
def impatient(tmp_path: Path) -> Measurers:
    return Measurers(1, tmp_path, 9, "no-board", SearchSettings(board_wait_s=0))


def test_without_a_board_only_the_first_candidate_waits_for_one(
    impatient: Measurers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Any] = []

    def no_board(job: Any) -> Outcome:
        tried.append(job)
        return Outcome(at_fault="board", text="nobody answers")

    monkeypatch.setattr(impatient, "_once", no_board)
    round_of_three = [impatient.submit(tmp_path / f"{n}.so", [], None) for n in range(3)]
    outcomes = [future.result(10) for future in round_of_three]
    assert [outcome.at_fault for outcome in outcomes] == ["board"] * 3
    assert (outcomes[0].text, len(tried)) == ("nobody answers", 1)
    impatient.close()


def test_a_process_that_dies_before_it_begins_is_no_failure_of_the_candidate(
    impatient: Measurers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dying:
        def send(self, function: Any, arguments: Any) -> None:
            raise ChildProcessError("Subprocess terminated")

    monkeypatch.setattr(impatient, "_worker", Dying)
    outcome = impatient.submit(tmp_path / "1.so", [], None).result(10)
    assert outcome.at_fault == "board"
    impatient.close()
