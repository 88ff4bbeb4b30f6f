"""What the commands print: text on a terminal, JSON for programs."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from edgepose.bench.record import Record
from edgepose.bench.store import RecordStore
from edgepose.bundle import Bundle
from edgepose.zoo import list_models
from tests.bench.records import record, run
from tests.cli.conftest import Edgepose
from tests.own_cache import own_cache
from tests.tiny_bundles import save_tiny_model


@pytest.mark.parametrize(
    ("kind", "name", "field"),
    [
        ("models", "litepose-xs", "family"),
        ("targets", "rpi4", "cpu"),
        ("recipes", "ncnn-fp16", "gates"),
    ],
)
def test_lists_and_their_entries_are_json_too(
    edgepose: Edgepose, kind: str, name: str, field: str
) -> None:
    listed = {entry["name"]: entry for entry in as_json(edgepose, kind, "--json")}
    assert field in listed[name]
    assert as_json(edgepose, kind, name, "--json") == listed[name]
    text = edgepose(kind).stdout
    assert all(each in text for each in listed)
    assert name in edgepose(kind, name).stdout


def as_json(edgepose: Edgepose, *words: str | Path) -> Any:
    done = edgepose(*words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_models_lists_the_zoo_and_shows_what_an_entry_costs(edgepose: Edgepose) -> None:
    assert {each["name"] for each in as_json(edgepose, "models", "--json")} == set(list_models())
    text = edgepose("models", "rtmpose-s").stdout
    for word in ("key points", "parameters", "MACs", "published", "weights", "256×192", "AP "):
        assert word in text


def test_a_users_own_target_and_recipe_are_listed(edgepose: Edgepose) -> None:
    shipped = Path(__file__).parents[2] / "targets" / "rpi4.toml"
    Path("targets").mkdir()
    Path("targets/my-pi.toml").write_text(shipped.read_text())
    assert "my-pi" in edgepose("targets").stdout
    assert as_json(edgepose, "targets", "my-pi", "--json")["arch"] == "aarch64"


def test_build_and_verify_tell_bundle_and_proof(edgepose: Edgepose, tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path)
    built = as_json(edgepose, "build", model, "--json")
    place = Path(built["folder"])
    assert place == Path("build/tiny/host-onnxruntime-fp32")
    assert json.loads((place / "manifest.json").read_text()) == built["manifest"]
    verified = as_json(edgepose, "verify", place, "--json")
    assert verified["proof"]["passed"] and verified["proof"]["where"] == "this host"
    assert verified["files"] == len(built["manifest"]["files"])
    text = edgepose("build", model).stdout
    assert "build/tiny/host-onnxruntime-fp32  (" in text and "proof passed on this host" in text
    assert "heatmaps: relative error max" in edgepose("verify", place).stdout


def test_bench_prints_whole_records_as_json_that_are_in_the_store(
    edgepose: Edgepose, tiny: Bundle
) -> None:
    done = edgepose("bench", tiny.folder, "--profile", "paper", "--json")
    (told,) = json.loads(done.stdout)
    assert [len(one["samples_ns"]) for one in told["runs"]] == [200]
    assert [len(one["warmup_ns"]) for one in told["runs"]] == [50]
    assert done.returncode == (0 if told["verdict"]["valid"] else 7)
    stored = RecordStore().path.read_text()
    assert json.loads(stored) == told


def test_quiet_prints_no_progress(edgepose: Edgepose, tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path, channels=9)
    done = edgepose("--quiet", "build", model)
    assert (done.returncode, done.stderr) == (0, "")
    assert edgepose("build", model, "--force").stderr


def test_bench_without_a_name_measures_every_bundle_of_the_devices_target(
    edgepose: Edgepose, tmp_path: Path
) -> None:
    model = save_tiny_model(tmp_path)
    for target, recipe in (("host", "onnxruntime-fp32"), ("host", "ncnn-fp32"), ("rpi4", None)):
        words = ["--recipe", recipe] if recipe else []
        assert edgepose("build", model, "--target", target, *words).returncode == 0
    done = edgepose("bench", "--budget", "1s")
    assert done.returncode in (0, 7), done.stderr
    assert "reduced effort: the budget of 1 s allows" in done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [
        ["tiny", "ncnn-fp32"],
        ["tiny", "onnxruntime-fp32"],
    ]
    assert edgepose("report").stdout == done.stdout


def test_bench_builds_what_is_missing(
    edgepose: Edgepose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEPOSE_CACHE", own_cache(tmp_path / "cold"))
    words = ("--recipe", "ncnn-fp16", "--budget", "1s")
    done = edgepose("bench", save_tiny_model(tmp_path), *words)
    assert done.returncode in (0, 7), done.stderr
    assert Path("build/tiny/host-ncnn-fp16/manifest.json").is_file()
    assert "tiny: compiling with ncnn-fp16" in done.stderr
    assert done.stdout.splitlines()[2].split()[:2] == ["tiny", "ncnn-fp16"]


@pytest.fixture
def stored(edgepose: Edgepose) -> list[Record]:
    """One measurement of a board and one of an emulated one; 20.1 ms would be its latency."""
    emulated_runs = tuple(run(index) for index in range(5))
    records = [
        record("r1", model="litepose-xs"),
        record("r2", model="rtmpose-t", device="emu", emulated=True, runs=emulated_runs),
    ]
    for each in records:
        RecordStore().append(each)
    return records


def test_report_prints_the_store_in_every_format(edgepose: Edgepose, stored: list[Record]) -> None:
    text = edgepose("report").stdout
    assert text == edgepose("report", "--format", "text").stdout
    assert [line.split()[0] for line in text.splitlines()[2:]] == ["litepose-xs", "rtmpose-t"]
    assert edgepose("report", "--format", "md").stdout.startswith("| model ")
    rows = list(csv.DictReader(io.StringIO(edgepose("report", "--format", "csv").stdout)))
    told = as_json(edgepose, "report", "--format", "json")
    for table in (rows, told):
        assert [row["record_id"] for row in table] == ["r1", "r2"]
    assert float(rows[0]["median_ms"]) == told[0]["median_ms"] == stored[0].summary.median_ms
    assert (rows[1]["median_ms"], told[1]["median_ms"]) == ("emulated", None)


def test_report_shows_only_the_wanted_device_or_model(
    edgepose: Edgepose, stored: list[Record]
) -> None:
    (row,) = as_json(edgepose, "report", "--device", "emu", "--format", "json")
    assert row["record_id"] == "r2"
    (row,) = as_json(edgepose, "report", "--model", "litepose-xs", "--format", "json")
    assert row["record_id"] == "r1"
    assert edgepose("report", "--model", "rtmpose-s").returncode == 2


def test_bench_goes_on_after_a_cell_that_failed_and_tells_it_by_its_exit_code(
    edgepose: Edgepose, tiny: Bundle
) -> None:
    done = edgepose("bench", "no-such-model", tiny.folder, "--profile", "paper")
    assert done.returncode == 2
    assert "unknown model 'no-such-model'" in done.stderr
    assert tiny.manifest.model.name in done.stdout
