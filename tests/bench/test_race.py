"""All recipes of a target against each other on this machine: real builds, real runs."""

from pathlib import Path

import msgspec
import pytest

import edgepose
from edgepose import build, race
from edgepose.bench.contest import Race
from edgepose.bench.interleaved import interleaved
from edgepose.bundle import Bundle
from edgepose.devices.inventory import find_device
from edgepose.errors import BuildError, EdgePoseError, UsageError
from edgepose.verdicts import RaceVerdict
from tests.bench.chains import build_chain
from tests.bench.contests import assert_valid_but_for_load
from tests.bench.under_way import pending, runs
from tests.tiny_bundles import save_tiny_model

pytestmark = pytest.mark.usefixtures("workplace")
ROOT = Path(edgepose.__file__).parent.parent
RECIPES = ["onnxruntime-fp32", "ncnn-fp32"]


@pytest.fixture
def model(workplace: Path) -> str:
    return str(save_tiny_model(workplace, channels=32))


def strict_recipe() -> None:
    """``./recipes/strict.toml``, a recipe that nothing can prove; the target ``host`` allows it."""
    for folder in ("recipes", "targets"):
        Path(folder).mkdir()
    shipped = (ROOT / "recipes" / "ncnn-fp32.toml").read_text()
    gate = "max_relative_error = 5e-4"
    assert gate in shipped
    Path("recipes/strict.toml").write_text(shipped.replace(gate, "max_relative_error = 1e-12"))
    host = (ROOT / "targets" / "host.toml").read_text()
    assert "allowed = [" in host
    Path("targets/host.toml").write_text(host.replace("allowed = [", 'allowed = ["strict", '))


def stored_verdict() -> RaceVerdict | None:
    found = list(Path("data/verdicts/host").glob("onnx-*.json"))
    return msgspec.json.decode(found[0].read_bytes(), type=RaceVerdict) if found else None


def test_a_race_names_a_winner_or_who_is_tied_and_builds_go_by_it(
    model: str, caplog: pytest.LogCaptureFixture
) -> None:
    strict_recipe()
    found = race(model, "host", recipes=["strict", *RECIPES], budget_s=12)
    contest = found.contest
    assert_valid_but_for_load(contest)
    assert [one.recipe for one in contest.contestants] == RECIPES
    (left_out,) = found.left_out
    assert left_out.recipe == "strict"
    assert "is not proven: output 'heatmaps': max relative error" in left_out.reason
    line = Path("records/comparisons.jsonl").read_bytes()
    assert msgspec.json.decode(line, type=Race) == found
    assert not list(runs().iterdir())
    assert not pending()

    verdict = stored_verdict()
    if not contest.verdict.valid:
        assert (found.ranking, found.winner, found.recipe, verdict) == (None, None, None, None)
        return
    assert verdict is not None
    assert set(found.tied) <= set(RECIPES)
    assert found.winner == (found.tied[0] if len(found.tied) == 1 else None)
    assert (verdict.contest_id, verdict.device) == (contest.contest_id, "local")
    with caplog.at_level("INFO", "edgepose"):
        bundle = build(model, "host", "auto")
    assert bundle.manifest.recipe.name == found.recipe == verdict.standings[0].recipe
    assert (
        f"by the race on local of {contest.created_at[:10]} ({contest.contest_id})" in caplog.text
    )


def test_one_recipe_alone_wins_without_an_opponent(model: str) -> None:
    found = race(model, recipes=["ncnn-fp32"], budget_s=6)
    assert_valid_but_for_load(found.contest)
    if found.contest.verdict.valid:
        assert (found.winner, found.tied, found.recipe) == (
            "ncnn-fp32",
            ("ncnn-fp32",),
            "ncnn-fp32",
        )
        assert found.ranking is not None and found.ranking.against_best == (None,)


def test_where_no_recipe_can_be_proven_each_reason_is_told_and_what_to_do(
    model: str, caplog: pytest.LogCaptureFixture
) -> None:
    strict_recipe()
    with pytest.raises(BuildError, match=r"no recipe makes a proven .* strict: tiny for host"):
        race(model, recipes=["strict"])
    assert "strict takes no part: " in caplog.text
    assert "Use a recipe of higher precision" in caplog.text
    assert not Path("records").exists()


def test_a_bundle_far_slower_in_its_trial_runs_is_not_timed(tiny: Bundle, tmp_path: Path) -> None:
    """It would take most of the budget, for a verdict that is plain."""
    slow = build_chain(tmp_path / "deep", 600)
    reasons = {}

    def note(bundle: Bundle, error: EdgePoseError) -> None:
        reasons[bundle.manifest.bundle_id] = str(error)

    settings = {"purpose": "test", "threads": None, "budget_s": 6.0, "misfit": note}
    with interleaved([tiny, slow], find_device("local"), far_slower=4.0, **settings) as contest:
        assert [one.bundle_id for one in contest.contestants] == [tiny.manifest.bundle_id]
    (reason,) = reasons.values()
    assert reasons.keys() == {slow.manifest.bundle_id}
    assert reason.startswith("far slower: its trial runs took ")
    assert not list(runs().iterdir())


def test_a_recipe_that_the_target_does_not_allow_is_refused_before_anything_is_built(
    model: str,
) -> None:
    with pytest.raises(UsageError, match="unknown recipe 'ncnn-fp3'"):
        race(model, recipes=["ncnn-fp32", "ncnn-fp3"])
    assert not Path("build").exists()


def test_a_device_of_another_target_cannot_run_the_race(model: str) -> None:
    with pytest.raises(UsageError, match="'local' is a host, so it cannot run a race for rpi4"):
        race(model, "rpi4")
