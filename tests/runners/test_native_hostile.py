"""Whatever a plan or a golden file holds, the native runner says so and never crashes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgepose.bundle import Bundle
from edgepose.files import sha256_file
from tests.runners.conftest import Finished, assert_fails, lines_of, runner_of, start, write_plan

# A fresh process an example; the folder is written anew each time.
each_in_a_process = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def run_text(native: Bundle, folder: Path, text: str | bytes) -> Finished:
    (folder / "plan.json").write_bytes(text.encode() if isinstance(text, str) else text)
    return start(runner_of(native), folder)


@pytest.fixture
def plan(native: Bundle, tmp_path: Path) -> dict[str, Any]:
    return write_plan(native, tmp_path, "time")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10_000,
        '{"a":' * 10_000,
        '{"protocol": 1' + ', "x": [' * 100,
        '{"protocol": 0x1}',
        '{"protocol": +1}',
        '{"protocol": 1.2.3}',
        '{"protocol": 1e999}',
        '{"protocol": NaN}',
        '{"protocol": Infinity}',
        '{"protocol": 1.5}',
        '{"protocol": 99999999999999999999}',
        '{"protocol": 1,}',
        '{"protocol": 1}}',
        '{"protocol": 1, "mode": "\\ud800"}',
        '{"protocol": 1, "mode": "\\u12"}',
        '{"protocol": 1, "mode": "\\q"}',
        '{"protocol": 1, "mode": "no end',
        '{"protocol": 1, "mode": "no end\\',
        "{'protocol': 1}",
        "{protocol: 1}",
        "\0",
        "{}\0{}",
    ],
    ids=lambda text: text[:24],
)
def test_what_is_not_json_ends_with_10(native: Bundle, tmp_path: Path, text: str) -> None:
    assert_fails(run_text(native, tmp_path, text), tmp_path, 10, "")


def test_a_plan_cut_off_anywhere_ends_with_10(
    native: Bundle, tmp_path: Path, plan: dict[str, Any]
) -> None:
    text = json.dumps(plan)
    for length in range(0, len(text), 97):
        assert_fails(run_text(native, tmp_path, text[:length]), tmp_path, 10, "plan.json")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("threads", "four"),
        ("threads", 0),
        ("threads", -1),
        ("threads", 1.5),
        ("threads", 1e6),
        ("runs", -1),
        ("runs", 1e18),
        ("repeats", "twice"),
        ("warmup_min", None),
        ("warmup_max", [3]),
        ("cpus", {"0": 1}),
        ("cpus", ["first"]),
        ("artifact", []),
        ("artifact", {"model.ncnn.param": 7}),
        ("artifact", {}),
        ("options", None),
        ("options", {}),
        ("options", {"blobs": {}, "fp16_storage": "yes"}),
        ("inputs", {"name": "input"}),
        ("inputs", [{"name": "input", "shape": "1x3"}]),
        ("outputs", [{"shape": [1]}]),
        ("golden", []),
        ("golden", [{"name": "a", "inputs": {}}]),
        ("sha256", [["a", "b"]]),
        ("sensor_period_s", "often"),
        ("run_id", 7),
    ],
    ids=str,
)
def test_a_value_of_the_wrong_kind_ends_with_10(
    native: Bundle, tmp_path: Path, plan: dict[str, Any], key: str, value: Any
) -> None:
    done = run_text(native, tmp_path, json.dumps(plan | {key: value}))
    assert_fails(done, tmp_path, 10, "")
    assert lines_of(tmp_path)[-2]["message"].strip()


@each_in_a_process
@given(key=st.integers(0, 100), value=json_values)
def test_no_value_anywhere_crashes_it(
    native: Bundle, tmp_path: Path, plan: dict[str, Any], key: int, value: Any
) -> None:
    name = sorted(plan)[key % len(plan)]
    done = run_text(native, tmp_path, json.dumps(plan | {name: value}))
    assert done.returncode in (0, 10, 11, 15), done.stderr
    assert lines_of(tmp_path)[-1]["kind"] == "footer"


@each_in_a_process
@given(position=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_no_altered_byte_crashes_it(
    native: Bundle, tmp_path: Path, plan: dict[str, Any], position: int, byte: int
) -> None:
    text = bytearray(json.dumps(plan).encode())
    text[position % len(text)] = byte
    done = run_text(native, tmp_path, bytes(text))
    assert done.returncode in (0, 10, 11, 13, 15), done.stderr
    assert lines_of(tmp_path)[-1]["kind"] == "footer"


@pytest.mark.parametrize("text", ["µs and 日本語 😀", 'a "quoted" \\ name', "tab\tline\nend\x01"])
def test_text_comes_back_as_it_was_given(
    native: Bundle, tmp_path: Path, plan: dict[str, Any], text: str
) -> None:
    for ascii_only in (True, False):
        content = json.dumps(plan | {"run_id": text}, ensure_ascii=ascii_only)
        assert run_text(native, tmp_path, content).returncode == 0
        assert lines_of(tmp_path)[0]["run_id"] == text


def test_a_name_that_is_not_utf_8_still_gives_a_result_that_can_be_read(
    native: Bundle, tmp_path: Path, plan: dict[str, Any]
) -> None:
    text = json.dumps(plan | {"mode": "??"}).encode().replace(b'"??"', b'"\xff\xc0\xed\xa0\x80"')
    assert_fails(run_text(native, tmp_path, text), tmp_path, 10, "unknown mode")


def header(text: str, version: bytes = b"\1\0") -> bytes:
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text.encode()


GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 64, 48), }\n"


VALUES = bytes(4 * 3 * 64 * 48)
BAD_TENSORS = {
    "empty": b"",
    "only-magic": b"\x93NUMPY",
    "zip": b"PK\3\4" + bytes(60),
    "no-values": header(GOOD),
    "version-2": header(GOOD, b"\2\0") + VALUES,
    "header-cut-off": header(GOOD)[:-1],
    "values-cut-off": header(GOOD) + VALUES[:-1],
    "header-longer-than-file": b"\x93NUMPY\1\0\xff\xff" + GOOD.encode(),
    "double": header(GOOD.replace("<f4", "<f8")) + 2 * VALUES,
    "big-endian": header(GOOD.replace("<f4", ">f4")) + VALUES,
    "structured": header(GOOD.replace("'<f4'", "[('a', '<f4')]")) + VALUES,
    "fortran-order": header(GOOD.replace("False", "True")) + VALUES,
    "no-shape": header(GOOD.replace("shape", "shade")) + VALUES,
    "scalar": header(GOOD.replace("(1, 3, 64, 48)", "()")) + VALUES,
    "negative-size": header(GOOD.replace("64", "-64")) + VALUES,
    "word-as-size": header(GOOD.replace("64", "x")) + VALUES,
    "fraction-as-size": header(GOOD.replace("64", "6.4")) + VALUES,
    "huge-size": header(GOOD.replace("64", "9" * 30)) + VALUES,
    "sizes-that-overflow": header(GOOD.replace("1, 3, 64, 48", "65536, " * 4)) + VALUES,
    "shape-cut-off": header(GOOD.replace("), }", "")) + VALUES,
}


@pytest.mark.parametrize("content", BAD_TENSORS.values(), ids=BAD_TENSORS)
def test_a_golden_file_that_is_no_float_tensor_ends_with_11(
    native: Bundle, tmp_path: Path, plan: dict[str, Any], content: bytes
) -> None:
    (golden, *_) = plan["golden"]
    victim = tmp_path / "input.npy"
    victim.write_bytes(content)
    golden["inputs"] = dict.fromkeys(golden["inputs"], str(victim))
    plan["sha256"] = {str(victim): sha256_file(victim)}
    done = run_text(native, tmp_path, json.dumps(plan))
    assert_fails(done, tmp_path, 11, "input.npy is not a golden tensor")


def test_a_golden_file_as_numpy_writes_it_is_read(
    native: Bundle, tmp_path: Path, plan: dict[str, Any]
) -> None:
    (golden, *_) = plan["golden"]
    victim = tmp_path / "input.npy"
    np.save(victim, np.ones((1, 3, 64, 48), np.float32))
    golden["inputs"] = dict.fromkeys(golden["inputs"], str(victim))
    assert run_text(native, tmp_path, json.dumps(plan)).returncode == 0
