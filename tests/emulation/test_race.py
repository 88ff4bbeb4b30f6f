"""A race on the emulated Raspberry Pi 4: the whole way, and a verdict that nobody may use."""

import json
from pathlib import Path

import pytest

from edgepose import race
from edgepose.errors import UsageError
from edgepose.model_source import find_source
from edgepose.report.comparisons import render_race
from edgepose.targets import load_target
from edgepose.verdicts import fastest_recipe
from tests.emulation.board import Board
from tests.tiny_bundles import save_tiny_model

RECIPES = ["ncnn-fp32", "ncnn-fp16"]


def test_a_race_on_an_emulated_board_proves_there_and_gives_no_verdict(
    emu: Board, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEPOSE_DATA", str(workplace / "data"))
    model = str(save_tiny_model(workplace))
    found = race(model, "rpi4", "emu", recipes=RECIPES, threads=1, budget_s=8)
    contest = found.contest
    assert [one.recipe for one in contest.contestants] == RECIPES
    assert all(one.proof.passed and one.proof.where == "emu" for one in contest.contestants)
    assert len(contest.blocks) >= 3
    assert contest.verdict.reasons[0].startswith("emulated: ")
    assert (found.winner, found.recipe) == (None, None)
    text = render_race(found)
    assert text.splitlines()[2].split()[1] == "emulated" and "REFUSED: emulated" in text
    assert json.loads(Path("records/comparisons.jsonl").read_text())["contest"]["emulated"]
    runs = emu.home / ".edgepose" / "runs"  # other tests' may lie there
    assert not list(runs.glob(f"{contest.contest_id}*"))
    with pytest.raises(UsageError, match="no race of tiny was run for rpi4"):
        fastest_recipe(find_source(model, None, False), load_target("rpi4"), model)
