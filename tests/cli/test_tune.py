"""``edgepose tune`` as users start it."""

import csv
import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgepose.bench.record import Record
from edgepose.bundle import load_bundle
from edgepose.engines.base import Tuning
from edgepose.engines.tvm.records import load_records
from edgepose.report.tables import render, rows
from edgepose.tuning.exchange import export_records
from tests.bench.records import record
from tests.cli.conftest import Edgepose
from tests.cli.test_errors import assert_fails
from tests.own_cache import own_cache
from tests.tiny_nets import save_heatmap_net
from tests.tuning.databases import make_database
from tests.tuning.small import processes_of

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPOSE_DATA", str(tmp_path / "data"))


def tuning(**changes: object) -> Tuning:
    values = {
        "tuned": "board",
        "tuner": "MetaSchedule",
        "tvm_version": "0.27",
        "trials": 100,
        "records_sha256": "ab",
        "tasks": 3,
        "tuned_tasks": 3,
        "tuned_share": 0.98,
    }
    return Tuning(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["litepose-xz"], "unknown model 'litepose-xz'. Nearest: litepose-xs"),
        (["litepose-xs", "--target", "rpi44"], "'rpi44'. Nearest: rpi4"),
        (["litepose-xs", "--target", "rpi4"], "device 'local' is a host, not a rpi4"),
        (["litepose-xs", "--device", "lokal"], "'lokal'. Nearest: local"),
        (["litepose-xs", "litepose-s"], "takes no further names"),
        (["export", "-o", "x.zip"], "takes 1 further name, not 0"),
        (["export", "litepose-xs"], "an export needs a file"),
        (["litepose-xs", "--target", "snapdragon-865"], "allows no recipe with TVM"),
    ],
    ids=" ".join,
)
def test_2_for_what_cannot_be_tuned(edgepose: Edgepose, words: list[str], text: str) -> None:
    assert_fails(edgepose("tune", *words), 2, text)


@pytest.mark.parametrize("words", [["--trials", "0"], ["--time", "2x"], ["--proxy", "rpi4"]])
def test_2_for_an_option_that_makes_no_sense(edgepose: Edgepose, words: list[str]) -> None:
    done = edgepose("tune", "litepose-xs", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"argument {words[0]}: " in done.stderr


def test_5_for_records_of_another_tvm_or_without_a_success(
    edgepose: Edgepose, tmp_path: Path
) -> None:
    records = load_records(make_database(tmp_path / "theirs", tvm_version="0.25.0"))
    export_records(records, tmp_path / "other.zip")
    assert_fails(edgepose("tune", "import", tmp_path / "other.zip"), 5, "of TVM 0.25.0")
    (tmp_path / "no.zip").write_bytes(b"no")
    assert_fails(edgepose("tune", "import", tmp_path / "no.zip"), 5, "no whole zip file")


def test_an_import_and_the_list_say_what_is_there(edgepose: Edgepose, tmp_path: Path) -> None:
    records = load_records(make_database(tmp_path / "theirs", emulated=True))
    export_records(records, tmp_path / "shared.zip")
    done = edgepose("tune", "import", tmp_path / "shared.zip")
    assert done.stdout == "2 new trials of net for rpi4: 2 in all (board)\n"
    listed = edgepose("tune", "list").stdout
    assert all(text in listed for text in ("net", "rpi4", "board (emulated)", "pi"))
    everything = json.loads(edgepose("tune", "list", "--json").stdout)  # what ships is there too
    (told,) = (each for each in everything if each["about"]["model"] == "net")
    assert told["about"]["trials"] == 2


def test_a_tuning_prints_the_result_alone_on_stdout_and_a_build_tells_of_it(
    edgepose: Edgepose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEPOSE_CACHE", own_cache(tmp_path / "cache"))
    net = save_heatmap_net(tmp_path / "net.onnx")
    words = ("build", net, "--recipe", "tvm-autoscheduler")
    assert "tuned: no — scheduled by rule, not measured; `edgepose tune net" in (
        edgepose(*words).stdout
    )
    done = edgepose("tune", net, "--trials", "8", "--json")
    told = json.loads(done.stdout)
    assert (told["why"], told["about"]["trials"]) == ("trials", 8)
    assert "8 trials | net " in done.stderr
    built = edgepose(*words, "-o", "bundle").stdout
    assert "tuned: board (8 trials, covers " in built
    assert load_bundle("bundle").manifest.tuning
    export = edgepose("tune", "export", net, "-o", "net.zip")
    assert export.stdout == "net.zip: 8 trials of net, board\n"


def test_a_terminated_tuning_leaves_nothing_running(
    edgepose: Edgepose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEPOSE_CACHE", own_cache(tmp_path / "cache"))
    net = save_heatmap_net(tmp_path / "net.onnx")
    words = [sys.executable, "-m", "edgepose.cli.main", "tune", str(net), "--trials", "1000"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert any(" trials | " in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
    assert process.returncode == 128 + signal.SIGTERM
    assert not [words for words in processes_of(tmp_path).values() if "python" in words]


@pytest.mark.parametrize(
    ("tuned", "text"),
    [("no", "(untuned)"), ("proxy", "(tuned on a proxy)"), ("board", "tvm-autoscheduler ")],
)
def test_tables_mark_what_was_not_tuned_on_the_board(tuned: str, text: str) -> None:
    one = record(recipe="tvm-autoscheduler", tuning=tuning(tuned=tuned))
    assert text in render(rows([one]), "text")
    assert ("tuned" in render(rows([one]), "text")) == (tuned != "board")
    line = next(csv.DictReader(io.StringIO(render(rows([one]), "csv"))))
    assert line["tuned"] == tuned


def test_a_record_of_before_tuning_was_known_is_still_read() -> None:
    import msgspec

    old = msgspec.to_builtins(record())
    del old["tuning"]
    assert msgspec.convert(old, Record).tuning is None
    assert rows([record()])[0].tuned is None
