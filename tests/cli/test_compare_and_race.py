"""``compare`` and ``race`` as users start them."""

import json
from pathlib import Path

import pytest

from edgepose.bundle import Bundle
from tests.cli.conftest import Edgepose
from tests.tiny_bundles import save_tiny_model, with_false_golden_outputs


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPOSE_DATA", str(tmp_path / "data"))


def test_compare_prints_both_and_a_verdict(edgepose: Edgepose, tiny: Bundle) -> None:
    done = edgepose("compare", tiny.folder, tiny.folder, "--budget", "8s")
    lines = done.stdout.splitlines()
    assert [line.split()[:3] for line in lines[2:4]] == [
        ["A", "tiny", "onnxruntime-fp32"],
        ["B", "tiny", "onnxruntime-fp32"],
    ]
    assert "note: reduced effort: the budget of 8 s allows" in done.stderr
    if done.returncode == 0:
        assert "] times as long as A (95 % interval)" in lines[-2]
    else:
        assert done.returncode == 7, done.stderr
        assert lines[-1].startswith("REFUSED: too few blocks")


def test_compare_prints_all_of_it_as_json(edgepose: Edgepose, tiny: Bundle) -> None:
    done = edgepose("compare", tiny.folder, tiny.folder, "--budget", "8s", "--json")
    told = json.loads(done.stdout)
    assert told["kind"] == "compare"
    assert all(len(block["runs"]) == 2 for block in told["contest"]["blocks"])
    assert json.loads(Path("records/comparisons.jsonl").read_text()) == told


def test_compare_of_an_unproven_bundle_exits_with_4(
    edgepose: Edgepose, tiny: Bundle, tmp_path: Path
) -> None:
    false = with_false_golden_outputs(tiny, tmp_path / "false")
    done = edgepose("compare", false.folder, tiny.folder)
    assert (done.returncode, done.stdout) == (4, "")
    assert "is not proven on local" in done.stderr


def test_race_prints_a_verdict_that_build_goes_by(edgepose: Edgepose, tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path)
    words = ("--recipe", "ncnn-fp32", "--recipe", "ncnn-fp16", "--target", "host")
    done = edgepose("race", model, *words, "--budget", "10s")
    lines = done.stdout.splitlines()
    assert {line.split()[0] for line in lines[2:4]} == {"ncnn-fp32", "ncnn-fp16"}
    built = edgepose("build", model, "--recipe", "auto")
    if done.returncode == 0:
        chosen = lines[-1].removeprefix("`edgepose build … --recipe auto` takes ").split(",")[0]
        assert f"recipe {chosen}: " in built.stderr
        assert "by the race on local of " in built.stderr
        assert built.stdout.startswith(f"build/tiny/host-{chosen}  (")
    else:
        assert done.returncode == 7, done.stderr
        assert lines[-1].startswith("REFUSED: too few blocks")
        assert built.returncode == 2
        assert f"hint: Run one: `edgepose race {model} --target host`." in built.stderr
