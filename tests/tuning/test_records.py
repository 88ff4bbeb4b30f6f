"""Tuning databases: what survives a kill, which one a build uses, how they are shared."""

import json
import logging
import os
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgepose.engines.tvm.record_lines import (
    TRIALS,
    WORKLOADS,
    RecordLines,
    RecordWriter,
    mend,
    merge,
    read_lines,
    thin,
    trial_key,
)
from edgepose.engines.tvm.records import (
    ABOUT,
    all_records,
    best_records,
    load_records,
    read_about,
    records_folder,
    sole_writer,
)
from edgepose.errors import RecordsError, UsageError
from edgepose.tuning.exchange import export_records, import_records
from tests.tuning.databases import (
    FAILED,
    GRAPH,
    make_database,
    seal,
    trial_line,
    workload_line,
    write_files,
)


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without records, and an edgepose that ships none."""
    monkeypatch.setenv("EDGEPOSE_DATA", str(tmp_path / "user"))
    monkeypatch.setattr("edgepose.engines.tvm.records.shipped", lambda kind: tmp_path / "shipped")


@pytest.fixture
def users(tmp_path: Path) -> Path:
    return tmp_path / "user" / "tuning"


def three_trials() -> list[bytes]:
    return [trial_line(0, 0.003, 1), trial_line(1, FAILED, 2), trial_line(0, 0.001, 3)]


def seconds_of(lines: RecordLines) -> list[float | None]:
    return [trial.seconds for trial in lines.trials]


def test_a_failed_trial_is_one_without_a_time_or_with_tvms_ten_billion_seconds(
    tmp_path: Path,
) -> None:
    lines = [trial_line(0, 0.5), trial_line(0, FAILED, 1), trial_line(0, None, 2)]
    found = read_lines(write_files(tmp_path, [workload_line(1)], lines))
    assert seconds_of(found) == [0.5, None, None]
    assert found.failed == 2


@pytest.mark.parametrize("name", [TRIALS, WORKLOADS])
def test_a_file_cut_at_any_byte_loses_at_most_the_line_it_was_cut_in(
    tmp_path: Path, name: str
) -> None:
    workloads, trials = [workload_line(1), workload_line(2)], three_trials()
    folder = write_files(tmp_path, workloads, trials)
    whole = (folder / name).read_bytes()
    for size in {*range(0, len(whole), 5), len(whole) - 1, len(whole)}:
        write_files(folder, workloads, trials)
        (folder / name).write_bytes(whole[:size])
        lines = mend(folder)
        if name == TRIALS:
            complete = whole[:size].count(b"\n")
            # A line without its end is whole all the same where only the end is missing.
            assert len(lines.trials) in (complete, complete + (whole[size : size + 1] == b"\n"))
        assert all(trial.workload < len(lines.workloads) for trial in lines.trials)
        assert read_lines(folder) == lines
        for each in (TRIALS, WORKLOADS):
            content = (folder / each).read_bytes()
            assert content == b"" or content.endswith(b"\n")
            assert all(json.loads(line) for line in content.splitlines())


def test_what_is_appended_after_a_cut_is_whole(tmp_path: Path) -> None:
    folder = write_files(tmp_path, [workload_line(1)], [trial_line(0, 0.5)])
    with (folder / TRIALS).open("ab") as file:
        file.write(trial_line(0, 0.4, 1)[:-9])
    writer = RecordWriter(folder)
    writer.append(["1", "module of 1"], [[[], []], [0.3], {}, None])
    writer.append(["2", "module of 2"], [[[], []], [0.2], {}, None])
    lines = read_lines(folder)
    assert [(trial.workload, trial.seconds) for trial in lines.trials] == [
        (0, 0.5),
        (0, 0.3),
        (1, 0.2),
    ]
    assert len(lines.workloads) == 2


def test_a_damaged_line_in_the_middle_is_refused_with_its_number(tmp_path: Path) -> None:
    trials = three_trials()
    folder = write_files(tmp_path, [workload_line(1)], [trials[0], trials[1][:30], trials[2]])
    with pytest.raises(RecordsError, match=rf"{TRIALS}: line 2 is damaged"):
        read_lines(folder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "edgepose-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_with_every_earlier_trial_whole(small_disk: Path) -> None:
    writer = RecordWriter(small_disk)
    appended = 0
    with pytest.raises(RecordsError, match="No space left on device") as caught:
        while appended < 1000:
            writer.append(["1", "module"], [[["Split"] * 300, []], [0.5], {}, None])
            appended += 1
    assert "Free some space" in caught.value.hint
    assert 0 < len(read_lines(small_disk).trials) == appended


def test_merging_keeps_each_schedule_of_each_task_once(tmp_path: Path) -> None:
    one = write_files(
        tmp_path / "one",
        [workload_line(1), workload_line(2)],
        [trial_line(0, 0.5, 1), trial_line(1, 0.4, 1)],
    )
    other = write_files(
        tmp_path / "other",
        [workload_line(2), workload_line(3)],
        [trial_line(0, 0.1, 1), trial_line(0, 0.3, 9), trial_line(1, 0.2, 1)],
    )
    merged = merge(read_lines(one), read_lines(other))
    assert merged.workloads == (workload_line(1), workload_line(2), workload_line(3))
    assert [(trial.workload, trial.seconds) for trial in merged.trials] == [
        (0, 0.5),
        (1, 0.4),
        (1, 0.3),
        (2, 0.2),
    ]
    assert merge(merged, read_lines(other)) == merged


def test_thinning_keeps_the_best_of_each_task_and_no_task_without_a_success(tmp_path: Path) -> None:
    trials = [trial_line(1, None, 0), *(trial_line(2, 0.1 * n, n) for n in (3, 1, 2))]
    workloads = [workload_line(n) for n in (1, 2, 3)]
    lines = thin(read_lines(write_files(tmp_path, workloads, trials)), 2)
    assert lines.workloads == (workload_line(3),)
    assert seconds_of(lines) == pytest.approx([0.1, 0.2])


def test_a_schedule_has_one_key_however_its_numbers_are_written() -> None:
    assert trial_key(b"[[0.5, 1]]") == trial_key(b"[[0.50000000000000000,1]]")
    assert trial_key(b"[[0.5, 1]]") != trial_key(b"[[0.5, 2]]")


def test_a_build_prefers_the_board_then_the_users_proxy_then_the_shipped_one(
    tmp_path: Path, users: Path
) -> None:
    assert best_records(GRAPH, "rpi4") is None
    found = []
    for root, origin in (
        (tmp_path / "shipped", "proxy"),
        (users, "proxy"),
        (users, "board"),
    ):
        folder = make_database(root, origin)  # type: ignore[arg-type]
        records = best_records(GRAPH, "rpi4")
        found.append((records and records.folder) == folder)
    assert found == [True] * 3


def test_a_shipped_database_is_one_zip_file(tmp_path: Path) -> None:
    folder = make_database(tmp_path / "made", "proxy")
    file = records_folder(GRAPH, "rpi4", "proxy", tmp_path / "shipped").with_suffix(".zip")
    export_records(load_records(folder), file)
    records = best_records(GRAPH, "rpi4")
    assert records and records.sha256 == load_records(folder).sha256
    records.write(tmp_path / "for-tvm")
    assert seconds_of(read_lines(tmp_path / "for-tvm")) == [0.001]
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(RecordsError, match="cannot be read"):
        best_records(GRAPH, "rpi4")


def test_records_of_another_graph_or_target_are_not_used(users: Path) -> None:
    make_database(users, target="rpi5")
    make_database(users, graph_hash=GRAPH[:16] + "0" * 48)
    assert best_records(GRAPH, "rpi4") is None


def test_a_proxy_may_serve_several_targets(tmp_path: Path) -> None:
    make_database(tmp_path / "shipped", "proxy", targets=("rpi4", "rpi5"))
    assert best_records(GRAPH, "rpi5") is not None
    assert best_records(GRAPH, "jetson-nano") is None


def test_records_of_another_tvm_are_left_aside_with_a_notice(
    users: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_database(users, tvm_version="0.25.0")
    with caplog.at_level(logging.WARNING):
        assert best_records(GRAPH, "rpi4") is None
    assert "tuning records of TVM 0.25.0 for rpi4 are left aside" in caplog.text


def test_a_database_without_one_success_is_left_aside_for_the_next_best(
    users: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_database(users, "board", seconds=(None, FAILED))
    proxy = make_database(users, "proxy")
    with caplog.at_level(logging.WARNING):
        records = best_records(GRAPH, "rpi4")
    assert records and records.folder == proxy
    assert "holds no success" in caplog.text


def test_a_build_takes_the_best_trial_only_and_its_key_ignores_worse_ones(
    users: Path, tmp_path: Path
) -> None:
    folder = make_database(users, seconds=(0.003, 0.001, FAILED, 0.002))
    records = load_records(folder)
    records.write(tmp_path / "for-tvm")
    assert seconds_of(read_lines(tmp_path / "for-tvm")) == [0.001]
    assert (records.trials, records.failed) == (4, 1)
    better = make_database(tmp_path / "other", seconds=(0.003, 0.001))
    assert load_records(better).sha256 == records.sha256
    assert load_records(make_database(tmp_path / "third", seconds=(0.003,))).sha256 != (
        records.sha256
    )


def test_a_database_that_still_grows_is_read_without_the_line_being_written(users: Path) -> None:
    folder = make_database(users)
    seal(folder, sha256=None)
    before = best_records(GRAPH, "rpi4")
    with (folder / TRIALS).open("ab") as file:
        file.write(trial_line(0, 0.0001, 9)[:40])
    assert best_records(GRAPH, "rpi4") == before


def test_a_sealed_database_that_was_altered_is_refused(users: Path) -> None:
    folder = make_database(users)
    content = (folder / TRIALS).read_bytes()
    (folder / TRIALS).write_bytes(content.replace(b"0.001", b"0.0001"))
    with pytest.raises(RecordsError, match="are not those that about"):
        best_records(GRAPH, "rpi4")


def test_an_about_file_of_a_later_schema_is_refused(users: Path) -> None:
    folder = make_database(users)
    seal(folder, schema_version=2)
    with pytest.raises(RecordsError, match="schema version 2, this edgepose reads 1"):
        best_records(GRAPH, "rpi4")
    assert all_records() == []


def test_an_export_comes_back_whole_elsewhere(
    users: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = load_records(make_database(users, seconds=(0.003, FAILED, 0.001)))
    file = tmp_path / "shared.zip"
    export_records(records, file)
    monkeypatch.setenv("EDGEPOSE_DATA", str(tmp_path / "elsewhere"))
    about, new = import_records(file, GRAPH)
    assert (about, new) == (records.about, 3)
    there = best_records(GRAPH, "rpi4")
    assert there and there.sha256 == records.sha256
    assert import_records(file)[1] == 0


def test_an_import_adds_to_what_the_user_has(users: Path, tmp_path: Path) -> None:
    folder = make_database(tmp_path / "theirs", seconds=(0.005, 0.0005), devices=("theirs",))
    file = tmp_path / "shared.zip"
    export_records(load_records(folder), file, keep=1)
    own = make_database(users, seconds=(0.003,), devices=("mine",))
    about, new = import_records(file)
    assert (about.trials, new, about.devices) == (2, 1, ("mine", "theirs"))
    assert seconds_of(load_records(own).best) == [0.0005]


@pytest.mark.parametrize(
    ("changes", "graph_hash", "message"),
    [
        ({"tvm_version": "0.25.0"}, None, r"of TVM 0\.25\.0, this is TVM 0\."),
        ({}, "cd" * 32, r"of another graph \(net\)"),
        ({"sha256": "0" * 64}, None, "altered or cut"),
        ({"schema_version": 2}, None, "schema version 2"),
        ({"targets": ("../../outside",)}, None, "about.json: Expected `str` matching"),
        ({"targets": ()}, None, "about.json: Expected `array` of length >= 1"),
        ({"seconds": (None, FAILED)}, None, "the 2 records of net hold no success"),
    ],
    ids=["TVM", "graph", "hash", "schema", "path", "no target", "no success"],
)
def test_a_file_that_does_not_fit_is_refused_and_changes_nothing(
    users: Path,
    tmp_path: Path,
    changes: dict[str, object],
    graph_hash: str | None,
    message: str,
) -> None:
    folder = make_database(tmp_path / "theirs", **changes)  # type: ignore[arg-type]
    file = pack(folder, tmp_path / "shared.zip")
    with pytest.raises(RecordsError, match=message):
        import_records(file, graph_hash)
    assert not users.exists()


def test_nothing_is_imported_into_a_database_that_a_tuning_writes(
    users: Path, tmp_path: Path
) -> None:
    file = pack(make_database(tmp_path / "theirs"), tmp_path / "shared.zip")
    place = records_folder(GRAPH, "rpi4", "board")
    with (
        sole_writer(place),
        pytest.raises(UsageError, match="another process tunes into"),
    ):
        import_records(file)
    assert not (place / TRIALS).exists()
    assert import_records(file)[1] == 2


def test_a_list_leaves_a_damaged_zip_file_out(users: Path, tmp_path: Path) -> None:
    folder = make_database(users)
    file = records_folder(GRAPH, "rpi4", "proxy", tmp_path / "shipped").with_suffix(".zip")
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no zip")
    assert [records.folder for records in all_records()] == [folder]


def test_a_database_without_any_trial_is_passed_over_without_a_word(
    users: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_database(users, seconds=())
    assert best_records(GRAPH, "rpi4") is None
    assert not caplog.text


def pack(folder: Path, file: Path) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for name in (ABOUT, TRIALS, WORKLOADS):
            archive.write(folder / name, name)
    return file


def test_a_file_that_is_no_export_is_refused(tmp_path: Path, users: Path) -> None:
    folder = make_database(tmp_path / "theirs")
    whole = pack(folder, tmp_path / "whole.zip").read_bytes()
    broken = {"cut": whole[:-60], "text": b"hello", "empty": b""}
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RecordsError, match="no whole zip file"):
            import_records(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "foreign.zip", "w") as archive:
        archive.writestr("../outside", "x")
    with pytest.raises(RecordsError, match="not one that edgepose exported"):
        import_records(tmp_path / "foreign.zip")
    with pytest.raises(RecordsError, match="cannot be read"):
        import_records(tmp_path / "nowhere.zip")


def test_what_was_cut_off_by_a_kill_is_not_in_an_export(users: Path, tmp_path: Path) -> None:
    folder = make_database(users)
    seal(folder, sha256=None)
    with (folder / TRIALS).open("ab") as file:
        file.write(b"[0,[[")
    export_records(load_records(folder), tmp_path / "shared.zip")
    about, _ = import_records(tmp_path / "shared.zip")
    assert about.trials == 2
    assert read_about(records_folder(GRAPH, "rpi4", "board")).sha256 is not None
