import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from edgepose.bench.record import Record
from edgepose.bench.store import RecordStore, default_folder
from edgepose.errors import UsageError
from tests.bench.records import drift, proof, record

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(tmp_path / "records")


def _child(code: str, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, *words], cwd=ROOT)


def test_a_record_comes_back_as_it_was(store: RecordStore) -> None:
    store.append(record("r1"))
    assert store.get("r1") == record("r1")
    assert RecordStore(store.folder).get("r1") == record("r1")


def test_a_record_with_outputs_that_are_not_finite_comes_back(store: RecordStore) -> None:
    broken = drift(finite=False, max_relative_error=None, mean_relative_error=None, cosine=None)
    refused = record("r1", proof=proof(passed=False, tensors=(broken,)), runs=(), summary=None)
    store.append(refused)
    assert store.get("r1") == refused


def test_each_record_is_one_line_of_json_with_a_schema_version(store: RecordStore) -> None:
    store.append(record("r1"))
    store.append(record("r2"))
    lines = store.path.read_text().splitlines()
    assert [json.loads(line)["record_id"] for line in lines] == ["r1", "r2"]
    assert {json.loads(line)["schema_version"] for line in lines} == {1}


def test_appending_changes_nothing_that_was_written_before(store: RecordStore) -> None:
    store.append(record("r1"))
    before = store.path.read_bytes()
    store.append(record("r2"))
    assert store.path.read_bytes().startswith(before)


def test_an_identity_is_stored_once(store: RecordStore) -> None:
    store.append(record("r1"))
    with pytest.raises(ValueError, match="already stored"):
        store.append(record("r1"))
    assert len(store.path.read_bytes().splitlines()) == 1


def test_a_record_that_could_not_be_read_again_is_not_written(store: RecordStore) -> None:
    wrong = msgspec.structs.replace(record("r1").summary, mean_ms=float("nan"))
    with pytest.raises(ValueError, match="null"):
        store.append(record("r1", summary=wrong))
    assert not store.path.exists()


def test_an_unknown_record_is_an_error_and_makes_no_folder(store: RecordStore) -> None:
    with pytest.raises(UsageError, match="no record 'r9'"):
        store.get("r9")
    assert store.latest() == []
    assert not store.folder.exists()


def test_the_latest_record_of_each_cell_is_found(store: RecordStore) -> None:
    store.append(record("old", threads=4))
    store.append(record("one", threads=1))
    store.append(record("other", model="litepose-s", device="pi-lab"))
    store.append(record("new", threads=4))
    assert [found.record_id for found in store.latest()] == ["other", "one", "new"]
    assert [found.record_id for found in store.latest(model="litepose-xs")] == ["one", "new"]
    assert [found.record_id for found in store.latest(device="pi-lab")] == ["other"]
    assert store.latest(target="rpi5") == []


def test_the_folder_is_records_here_unless_the_environment_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGEPOSE_RECORDS", raising=False)
    assert default_folder() == Path("records")
    monkeypatch.setenv("EDGEPOSE_RECORDS", str(tmp_path / "elsewhere"))
    RecordStore().append(record("r1"))
    assert (tmp_path / "elsewhere" / "records.jsonl").exists()


@pytest.mark.parametrize("damage", ["missing", "garbage", "other table", "empty"])
def test_a_lost_or_damaged_index_is_made_again(store: RecordStore, damage: str) -> None:
    store.append(record("r1"))
    store.append(record("r2", threads=1))
    index = store.folder / "index.sqlite"
    index.unlink()
    if damage == "garbage":
        index.write_bytes(b"not a database" * 999)
    elif damage == "other table":
        with closing(sqlite3.connect(index)) as connection:
            connection.execute("CREATE TABLE records (anything TEXT)")
    elif damage == "empty":
        index.touch()
    assert store.get("r1") == record("r1")
    assert len(store.latest()) == 2


def test_lines_that_another_tool_appended_are_found(store: RecordStore) -> None:
    store.append(record("r1"))
    with store.path.open("ab") as file:
        file.write(msgspec.json.encode(record("r2", threads=1)) + b"\n")
    assert store.get("r2").threads == 1


def test_an_index_of_another_file_is_not_believed(store: RecordStore, tmp_path: Path) -> None:
    store.append(record("r1"))
    other = RecordStore(tmp_path / "other")
    other.append(record("long-identity", model="litepose-xl"))
    other.append(record("r2"))
    store.path.write_bytes(other.path.read_bytes())
    assert store.get("r2") == record("r2")
    with pytest.raises(UsageError):
        store.get("r1")


def test_a_truncated_last_line_is_left_out_with_a_warning_and_kept(
    store: RecordStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.append(record("r1"))
    torn = msgspec.json.encode(record("r2"))[:500]
    with store.path.open("ab") as file:
        file.write(torn)
    with caplog.at_level(logging.WARNING):
        assert [found.record_id for found in store.latest()] == ["r1"]
    assert "truncated line" in caplog.text
    store.append(record("r3", threads=1))
    assert [found.record_id for found in store.latest()] == ["r3", "r1"]
    assert store.path.read_bytes().splitlines()[1] == torn


def test_a_last_line_that_lacks_only_its_end_is_recovered(store: RecordStore) -> None:
    store.append(record("r1"))
    store.path.write_bytes(store.path.read_bytes()[:-1])
    (store.folder / "index.sqlite").unlink()
    store.append(record("r2", threads=1))
    assert store.get("r1") == record("r1")
    assert store.get("r2").threads == 1


def test_a_writer_killed_in_mid_append_loses_only_its_own_record(
    store: RecordStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.append(record("r1"))
    code = """
import os, signal, sys
from pathlib import Path
from edgepose.bench import store
from tests.bench.records import record
def die_half_way(descriptor, data):
    os.write(descriptor, data[: len(data) // 2])
    os.kill(os.getpid(), signal.SIGKILL)
store._write = die_half_way
store.RecordStore(Path(sys.argv[1])).append(record("r2"))
"""
    assert _child(code, str(store.folder)).wait(60) == -signal.SIGKILL
    assert not store.path.read_bytes().endswith(b"\n")
    with caplog.at_level(logging.WARNING):
        assert store.get("r1") == record("r1")
    assert "truncated line" in caplog.text
    store.append(record("r2", threads=1))
    assert store.get("r2").threads == 1


def test_processes_that_append_at_once_lose_nothing(store: RecordStore) -> None:
    code = """
import sys
from contextlib import closing
from pathlib import Path
from edgepose.bench.store import RecordStore
from tests.bench.records import record
store = RecordStore(Path(sys.argv[1]))
for number in range(8):
    store.append(record(f"{sys.argv[2]}-{number}", threads=number + 1, device=sys.argv[2]))
    store.latest()
"""
    children = [_child(code, str(store.folder), name) for name in "abcd"]
    assert [child.wait(120) for child in children] == [0, 0, 0, 0]
    lines = store.path.read_bytes().splitlines()
    stored = {msgspec.json.decode(line, type=Record).record_id for line in lines}
    assert stored == {f"{name}-{number}" for name in "abcd" for number in range(8)}
    assert len(store.latest()) == 32


def test_a_line_of_a_newer_edgepose_is_left_out_with_a_warning(
    store: RecordStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.append(record("r1"))
    newer = {**msgspec.to_builtins(record("r2")), "schema_version": 2, "summary": "elsewhere"}
    with store.path.open("a") as file:
        file.write(json.dumps(newer) + "\n")
    with caplog.at_level(logging.WARNING):
        assert [found.record_id for found in store.latest()] == ["r1"]
    assert "newer edgepose" in caplog.text


def test_a_line_of_nonsense_is_left_out_with_a_warning(
    store: RecordStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.append(record("r1"))
    with store.path.open("ab") as file:
        file.write(b"\xff\xfe nonsense\n\n{}\n")
    store.append(record("r2", threads=1))
    assert [found.record_id for found in store.latest()] == ["r2", "r1"]
    assert caplog.text.count("is left out") == 2


def test_a_system_that_writes_in_small_pieces_still_gets_the_whole_line(
    store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:1000]))
    store.append(record("r1"))
    assert store.get("r1") == record("r1")
