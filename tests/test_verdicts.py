"""What races found, and builds with the recipe ``auto`` that go by it."""

import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest

import edgepose
from edgepose import build
from edgepose.engines import find_engine
from edgepose.errors import ConfigError, UnsupportedModelError, UsageError
from edgepose.model_source import ModelSource, find_source
from edgepose.targets import Target, load_target
from edgepose.verdicts import RaceVerdict, Standing, fastest_recipe, find_verdict, save_verdict
from tests.tiny_nets import HEATMAP_TOML, save_heatmap_net

FASTEST = "ncnn-fp32"
SECOND = "onnxruntime-fp32"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with net.onnx, where no race was run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEPOSE_DATA", str(tmp_path / "data"))
    save_heatmap_net(tmp_path / "net.onnx", seed=7)
    (tmp_path / "net.toml").write_text(HEATMAP_TOML)
    return tmp_path


def source(model: str = "net.onnx") -> ModelSource:
    return find_source(model, None, False)


def standing(recipe: str, ratio: float = 1.0) -> Standing:
    return Standing(
        recipe=recipe,
        bundle_id=f"id-of-{recipe}",
        toolchain=dict(find_engine(recipe.split("-")[0]).check().versions),
        median_ms=5 * ratio,
        ratio=ratio,
        ratio_low=0.9 * ratio,
        ratio_high=1.1 * ratio,
    )


def verdict(**changes: Any) -> RaceVerdict:
    return RaceVerdict(
        **{
            "model": "net",
            "target": "host",
            "device": "local",
            "threads": 1,
            "created_at": "2026-11-21T10:01:00+00:00",
            "edgepose_version": edgepose.__version__,
            "contest_id": "c1",
            "winner": FASTEST,
            "tied": (FASTEST,),
            "standings": (standing(FASTEST), standing(SECOND, 1.5)),
            **changes,
        }
    )


def fastest() -> str:
    return fastest_recipe(source(), load_target("host"), "net.onnx").name


def warnings(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(each.getMessage() for each in caplog.records if each.levelname == "WARNING")


def test_without_a_race_auto_is_refused_with_the_command_that_runs_one() -> None:
    with pytest.raises(UsageError, match="no race of net was run for host") as caught:
        build("net.onnx", recipe="auto")
    assert "`edgepose race net.onnx --target host`" in caught.value.hint
    Path("net.onnx").rename("my net.onnx")
    with pytest.raises(UsageError) as caught:
        build("my net.onnx", recipe="auto")
    assert "`edgepose race 'my net.onnx' --target host`" in caught.value.hint
    with pytest.raises(UsageError) as caught:
        build("litepose-xs", "rpi4", "auto")
    assert "`edgepose race litepose-xs --target rpi4 --device NAME`" in caught.value.hint


def test_auto_builds_the_winner_and_says_on_whose_evidence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    save_verdict(source(), verdict())
    with caplog.at_level("INFO", "edgepose"):
        bundle = build("net.onnx", recipe="auto")
    assert bundle.manifest.recipe.name == FASTEST
    assert bundle.folder == Path("build/net/host-ncnn-fp32")
    assert (
        "recipe ncnn-fp32: the fastest, onnxruntime-fp32 takes 1.50 times as long, "
        "by the race on local of 2026-11-21 (c1)"
    ) in caplog.text
    assert not warnings(caplog)


def test_a_verdict_that_cannot_tell_takes_the_first_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tied = (SECOND, FASTEST)
    standings = (standing(SECOND, 1.01), standing(FASTEST))
    save_verdict(source(), verdict(winner=None, tied=tied, standings=standings))
    with caplog.at_level("INFO", "edgepose"):
        assert fastest() == SECOND
    assert f"{SECOND}, {FASTEST} cannot be told apart, and the target lists it first" in caplog.text


def test_other_weights_keep_the_verdict_and_another_net_does_not() -> None:
    save_verdict(source(), verdict())
    save_heatmap_net(Path("net.onnx"), seed=8)
    Path("net.onnx").rename("retrained.onnx")
    assert find_verdict(source("retrained.onnx"), "host") == verdict()
    assert find_verdict(source("retrained.onnx"), "rpi4") is None
    save_heatmap_net(Path("wider.onnx"), channels=9)
    assert find_verdict(source("wider.onnx"), "host") is None


def test_a_later_race_replaces_the_verdict() -> None:
    save_verdict(source(), verdict())
    later = verdict(contest_id="c2", winner=SECOND, tied=(SECOND,))
    save_verdict(source(), later)
    assert find_verdict(source(), "host") == later


def only(target: Target, *allowed: str) -> Target:
    recipes = msgspec.structs.replace(target.recipes, allowed=allowed)
    return msgspec.structs.replace(target, recipes=recipes)


def test_a_winner_that_is_not_allowed_any_more_gives_way_to_the_next_with_a_notice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    save_verdict(source(), verdict())
    target = only(load_target("host"), SECOND)
    with caplog.at_level(logging.INFO, "edgepose"):
        assert fastest_recipe(source(), target, "net.onnx").name == SECOND
    assert "host does not allow ncnn-fp32 any more" in warnings(caplog)
    assert "the fastest that is left, 1.50 times as long as ncnn-fp32" in caplog.text


def test_a_verdict_none_of_whose_recipes_is_allowed_is_refused() -> None:
    save_verdict(source(), verdict())
    with pytest.raises(UsageError, match="allows none of the recipes that the race on local"):
        fastest_recipe(source(), only(load_target("host"), "ncnn-fp16"), "net.onnx")


@pytest.mark.parametrize(
    ("changes", "notice"),
    [
        ({"edgepose_version": "0.0.1"}, f"by edgepose 0.0.1, this is {edgepose.__version__};"),
        ({"toolchain": {"ncnn": "0.9"}}, "with ncnn 0.9, here is 1.0"),
    ],
)
def test_a_verdict_of_other_versions_is_used_with_a_notice(
    changes: dict[str, Any], notice: str, caplog: pytest.LogCaptureFixture
) -> None:
    old = verdict()
    if "toolchain" in changes:
        stale = msgspec.structs.replace(old.standings[0], **changes)
        changes = {"standings": (stale, *old.standings[1:])}
    save_verdict(source(), msgspec.structs.replace(old, **changes))
    assert fastest() == FASTEST
    assert notice in warnings(caplog)
    assert "`edgepose race net.onnx --target host` would tell" in warnings(caplog)


def test_a_damaged_verdict_is_named() -> None:
    path = save_verdict(source(), verdict())
    path.write_text("{")
    with pytest.raises(ConfigError, match=f"{path.name}: not valid JSON"):
        fastest()


def test_a_verdict_of_another_schema_is_refused() -> None:
    path = save_verdict(source(), verdict())
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    with pytest.raises(ConfigError, match="schema_version"):
        fastest()


def test_a_broken_onnx_file_is_named_before_its_verdict_is_asked_for(project: Path) -> None:
    (project / "net.onnx").write_bytes(b"no graph")
    with pytest.raises(UnsupportedModelError, match=r"net\.onnx is not a valid ONNX file"):
        build("net.onnx", recipe="auto")
