"""A result is trusted whole or not at all."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepose.errors import DeviceError, RunError, RuntimeMissingError
from edgepose.runners.python.result import ResultFile
from edgepose.runners.result import RunResult, is_complete, read_result

Write = Callable[[ResultFile], None]


def written(folder: Path, write: Write) -> bytes:
    result = ResultFile(str(folder))
    write(result)
    result.close()
    return (folder / "result.jsonl").read_bytes()


def some_lines(result: ResultFile) -> None:
    result.write("header", run_id="run-7", versions={"numpy": "2.4.6"})
    result.write("samples", ns=[10, 12, 11], note="µs")
    result.write("memory", peak_rss_mib=40.5)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return written(tmp_path_factory.mktemp("result"), some_lines)


def lines(result: RunResult) -> list[Any]:
    return [result.all(kind) for kind in ("header", "samples", "memory", "footer")]


def test_a_whole_result_is_read_back(whole: bytes) -> None:
    assert is_complete(whole)
    result = read_result(whole, "run-7")
    assert result.one("samples") == {"kind": "samples", "ns": [10, 12, 11], "note": "µs"}
    assert result.one("memory")["peak_rss_mib"] == 40.5
    assert result.all("footer") == []


def test_an_empty_run_is_a_whole_result(tmp_path: Path) -> None:
    assert is_complete(written(tmp_path, lambda result: None))


def test_a_result_cut_off_anywhere_is_not_complete(whole: bytes) -> None:
    assert not any(is_complete(whole[:length]) for length in range(len(whole)))


@given(start=st.integers(1, 10_000))
def test_a_result_without_its_beginning_is_not_complete(whole: bytes, start: int) -> None:
    assert not is_complete(whole[1 + start % (len(whole) - 1) :])


@given(position=st.integers(0, 10_000), change=st.integers(1, 255))
def test_an_altered_byte_never_changes_what_is_read(
    whole: bytes, position: int, change: int
) -> None:
    altered = bytearray(whole)
    altered[position % len(whole)] ^= change
    try:
        result = read_result(bytes(altered), "run-7")
    except RunError:
        return
    assert lines(result) == lines(read_result(whole, "run-7"))


@given(position=st.integers(0, 10_000), change=st.integers(1, 255))
def test_an_altered_byte_before_the_footer_is_always_detected(
    whole: bytes, position: int, change: int
) -> None:
    altered = bytearray(whole)
    altered[position % (whole[:-1].rindex(b"\n") + 1)] ^= change
    assert not is_complete(bytes(altered))


def test_lines_after_the_footer_are_refused(whole: bytes) -> None:
    assert not is_complete(whole + b"\n")
    assert not is_complete(whole + b'{"kind": "samples", "ns": [1]}\n')
    assert not is_complete(whole + whole)


@pytest.mark.parametrize("last", ["7", "[]", "null", '"footer"', "{}", '{"kind": "footer"}'])
def test_a_last_line_that_is_no_footer_is_not_complete(last: str) -> None:
    assert not is_complete(last.encode() + b"\n")


def test_reading_a_cut_result_names_the_run(whole: bytes) -> None:
    with pytest.raises(RunError, match="run-7 is truncated") as caught:
        read_result(whole[:-1], "run-7")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("code", "error"),
    [(10, RunError), (11, DeviceError), (12, RuntimeMissingError), (13, RunError), (15, RunError)],
)
def test_the_runner_s_own_failure_is_raised_by_its_code(
    tmp_path: Path, code: int, error: type[Exception]
) -> None:
    data = written(tmp_path, lambda result: result.write("error", code=code, message="no luck"))
    with pytest.raises(error, match="run-7: no luck") as caught:
        read_result(data, "run-7")
    assert type(caught.value) is error


def test_a_runner_that_does_not_know_what_it_is_asked_for_is_to_be_built_anew(
    tmp_path: Path,
) -> None:
    message = "unknown mode 'stages'"
    data = written(tmp_path, lambda result: result.write("error", code=10, message=message))
    with pytest.raises(RunError, match=message) as caught:
        read_result(data, "run-7")
    assert "--force" in caught.value.hint


def test_a_kind_that_is_missing_or_doubled_is_not_one(whole: bytes, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="0 lines of kind 'outputs'"):
        read_result(whole, "run-7").one("outputs")
    doubled = written(tmp_path, lambda result: [some_lines(result) for _ in range(2)] and None)
    with pytest.raises(RunError, match="2 lines of kind 'samples'"):
        read_result(doubled, "run-7").one("samples")


def test_every_line_is_on_disk_as_soon_as_it_is_written(tmp_path: Path) -> None:
    result = ResultFile(str(tmp_path))
    result.write("header", run_id="run-7")
    assert json.loads((tmp_path / "result.jsonl").read_bytes()) == {
        "kind": "header",
        "run_id": "run-7",
    }
    result.close()
