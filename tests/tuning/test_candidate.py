"""Real candidates in the pools' own processes: whose failure is it, and does the next one work?"""

from pathlib import Path

from edgepose.deadline import Deadline
from edgepose.engines.tvm.process import Event, run_child


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
