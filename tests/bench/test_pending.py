from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgepose.bench.pending import Pending, find_or_begin
from edgepose.bench.plan import PAPER, TRUST
from edgepose.devices.device import LOCAL
from tests.bench.facts import facts, sensors

COMMAND: dict[str, Any] = {
    "bundle": "abc",
    "device": LOCAL,
    "profile": TRUST,
    "threads": 4,
    "budget_s": 300.0,
}


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of what this host remembers."""
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path))
    return tmp_path / "pending"


def the_file(memory: Path) -> Path:
    (path,) = memory.iterdir()
    return path


def test_the_same_command_finds_what_it_began() -> None:
    begun, was_old = find_or_begin(COMMAND, facts())
    assert not was_old
    assert find_or_begin(dict(reversed(COMMAND.items())), facts()) == (begun, True)


@pytest.mark.parametrize(
    "change",
    [
        {"bundle": "abd"},
        {"device": msgspec.structs.replace(LOCAL, workdir="/elsewhere")},
        {"profile": PAPER},
        {"threads": 3},
        {"budget_s": 299.0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_command_that_differs_begins_its_own(change: dict[str, Any]) -> None:
    first, _ = find_or_begin(COMMAND, facts())
    second, was_old = find_or_begin({**COMMAND, **change}, facts())
    assert not was_old
    assert second.session_id != first.session_id
    assert find_or_begin(COMMAND, facts()) == (first, True)


def test_what_was_begun_before_a_reboot_is_over() -> None:
    first, _ = find_or_begin(COMMAND, facts(boot_id="b1"))
    second, was_old = find_or_begin(COMMAND, facts(boot_id="b2"))
    assert not was_old
    assert second.session_id != first.session_id


def test_the_facts_of_the_beginning_stay() -> None:
    find_or_begin(COMMAND, facts())
    now = facts(sensors=sensors(throttled=0xF0000), clock_s=1_800_000_000)
    found, was_old = find_or_begin(COMMAND, now)
    assert was_old
    assert found.facts == facts()


def test_what_was_forgotten_begins_anew(memory: Path) -> None:
    first, _ = find_or_begin(COMMAND, facts())
    first.forget()
    assert not list(memory.iterdir())
    first.forget()
    second, was_old = find_or_begin(COMMAND, facts())
    assert not was_old
    assert second.session_id != first.session_id


@pytest.mark.parametrize(("hours", "is_found"), [(5, True), (7, False)])
def test_after_hours_nobody_waits_for_it_any_more(
    memory: Path, hours: float, is_found: bool
) -> None:
    begun, _ = find_or_begin(COMMAND, facts())
    old = msgspec.structs.replace(begun, started_at_s=begun.started_at_s - hours * 3600)
    the_file(memory).write_bytes(msgspec.json.encode(old))
    assert find_or_begin(COMMAND, facts())[1] is is_found


@pytest.mark.parametrize("content", [b"", b'{"session_id": "2026', b"\xff", b'{"session_id": "x"}'])
def test_a_damaged_memory_is_no_memory(memory: Path, content: bytes) -> None:
    first, _ = find_or_begin(COMMAND, facts())
    the_file(memory).write_bytes(content)
    second, was_old = find_or_begin(COMMAND, facts())
    assert not was_old
    assert second.session_id != first.session_id
    assert msgspec.json.decode(the_file(memory).read_bytes(), type=Pending) == second
