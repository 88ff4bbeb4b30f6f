import csv
import io
import json
import re
from typing import Any

import msgspec
import pytest

from edgepose.bench.record import Record, Verdict
from edgepose.bench.statistics import Summary, summarise
from edgepose.evaluate.record import Evaluation
from edgepose.prove.proof import KeypointFigures
from edgepose.report.tables import (
    Format,
    Row,
    accuracy_text,
    decimals_for,
    render,
    rows,
)
from tests.bench.records import drift, proof, record, run
from tests.evaluate.evaluations import evaluation

FORMATS: tuple[Format, ...] = ("text", "md", "csv", "json")
KEYPOINTS = KeypointFigures(mean_px=0.021, max_px=0.3, oks=0.9996, n_points=198)


def _summary(**changes: Any) -> Summary:
    return msgspec.structs.replace(summarise([run(0).samples_ns, run(1).samples_ns]), **changes)


def _cells(one: Record) -> dict[str, str]:
    """The Markdown cells of one record by heading."""
    head, _, line = (
        [cell.strip() for cell in text.strip("|").split("|")]
        for text in render(rows([one]), "md").splitlines()
    )
    return dict(zip(head, line, strict=True))


def test_the_columns_are_those_of_the_house() -> None:
    summary = _summary(median_ms=31.2417, half_width_ms=0.4312, min_ms=30.9, p90_ms=32.123)
    assert _cells(record(summary=summary)) == {
        "model": "litepose-xs",
        "recipe": "onnxruntime-fp32",
        "threads": "4",
        "device": "pi-kitchen",
        "median ± 95 % (ms)": "31.24 ± 0.43",
        "min": "30.90",
        "p90": "32.12",
        "p95": "20.19",
        "p99": "n/a",
        "n": "5×200",
        "proof": "tensor 3e-07",
        "verdict": "valid",
    }


def test_another_precision_than_the_recipe_s_stands_beside_it() -> None:
    other = record(recipe="openvino-bf16", precision="bf16", computed_in="fp32")
    assert _cells(other)["recipe"] == "openvino-bf16 (computed in fp32)"
    same = record(recipe="openvino-bf16", precision="bf16", computed_in="bf16")
    assert _cells(same)["recipe"] == "openvino-bf16"
    (row,) = json.loads(render(rows([other]), "json"))
    assert (row["precision"], row["computed_in"]) == ("bf16", "fp32")


def test_an_accuracy_in_another_precision_than_the_recipe_s_says_so() -> None:
    fallen_back = evaluation(precision="bf16", computed_in="fp32")
    assert "computed in fp32" in accuracy_text(fallen_back)
    assert "computed" not in accuracy_text(evaluation(precision="fp32", computed_in="fp32"))


@pytest.mark.parametrize(
    ("half_width", "value", "decimals"),
    [
        (0.43, 31.2, 2),
        (0.043, 31.2, 3),
        (4.3, 312.0, 1),
        (43.0, 312.0, 0),
        (430.0, 12_000.0, 0),
        (0.000_04, 0.5, 4),
        (None, 31.2, 1),
        (None, 0.312, 3),
        (None, 3120.0, 0),
        (0.0, 31.2, 1),
    ],
)
def test_decimals_fit_the_half_width(half_width: float | None, value: float, decimals: int) -> None:
    assert decimals_for(half_width, value) == decimals


def test_a_median_without_an_interval_says_so() -> None:
    few = (run(0, count=3),)
    assert _cells(record(runs=few))["median ± 95 % (ms)"] == "20.0 ± n/a"


def test_percentiles_without_samples_enough_are_not_available() -> None:
    one = record(runs=(run(0, count=50),))
    cells = _cells(one)
    assert (cells["p95"], cells["p99"], cells["n"]) == ("n/a", "n/a", "1×50")
    assert cells["p90"] != "n/a"
    assert json.loads(render(rows([one]), "json"))[0]["p99_ms"] is None
    assert next(csv.DictReader(io.StringIO(render(rows([one]), "csv"))))["p99_ms"] == "n/a"


@pytest.mark.parametrize("format", FORMATS)
def test_no_time_under_emulation_shows_in_any_format(format: Format) -> None:
    emulated = record(emulated=True, device="loopback")
    assert emulated.summary is not None
    text = render(rows([emulated]), format)
    assert "emulated" in text
    assert not re.search(r"\d\.\d", text)


def test_every_latency_cell_of_an_emulated_record_says_emulated() -> None:
    emulated = record(emulated=True)
    cells = _cells(emulated)
    assert {cells[key] for key in ("median ± 95 % (ms)", "min", "p90", "p95", "p99")} == {
        "emulated"
    }
    row = next(csv.DictReader(io.StringIO(render(rows([emulated]), "csv"))))
    assert {value for key, value in row.items() if key.endswith("_ms")} == {"emulated"}
    row = json.loads(render(rows([emulated]), "json"))[0]
    assert {value for key, value in row.items() if key.endswith("_ms")} == {None}
    assert row["emulated"] is True


@pytest.mark.parametrize("format", FORMATS)
def test_a_refused_record_says_so_in_every_format(format: Format) -> None:
    verdict = Verdict(
        valid=False,
        reasons=("throttled: the clock fell", "throttled: bits", "knob changed: governor"),
    )
    text = render(rows([record(verdict=verdict)]), format)
    assert "REFUSED: throttled, knob changed" in text
    assert "valid" not in text


def test_a_measurement_without_samples_has_no_latencies() -> None:
    refused = record(runs=(), verdict=Verdict(valid=False, reasons=("proof failed: NaN",)))
    cells = _cells(refused)
    assert (cells["median ± 95 % (ms)"], cells["n"]) == ("n/a", "0")


def test_a_proof_in_key_point_space_shows_pixels_and_oks_that_is_never_rounded_up() -> None:
    assert _cells(record(proof=proof(keypoints=KEYPOINTS)))["proof"] == "0.02 px, OKS 0.999"


def test_a_proof_in_tensor_space_shows_its_worst_output() -> None:
    two = proof(tensors=(drift(), drift(output="tags", max_relative_error=2e-3)))
    assert _cells(record(proof=two))["proof"] == "tensor 2e-03"


def test_a_failed_proof_shows_as_failed() -> None:
    broken = drift(finite=False, max_relative_error=None, mean_relative_error=None, cosine=None)
    assert _cells(record(proof=proof(passed=False, tensors=(broken,))))["proof"] == "FAILED"


def test_processes_that_differ_are_counted_apart() -> None:
    uneven = (run(0), run(1), run(2, count=150))
    assert _cells(record(runs=uneven))["n"] == "2×200 + 1×150"


def test_json_and_csv_carry_full_figures_and_the_record() -> None:
    one = record("r7", summary=_summary(median_ms=31.241_712_3))
    row = json.loads(render(rows([one]), "json"))[0]
    assert (row["record_id"], row["median_ms"]) == ("r7", 31.241_712_3)
    assert tuple(row) == Row.__struct_fields__
    line = next(csv.DictReader(io.StringIO(render(rows([one]), "csv"))))
    assert (line["record_id"], float(line["median_ms"])) == ("r7", 31.241_712_3)


def test_a_pipe_in_a_name_does_not_break_a_markdown_table() -> None:
    text = render(rows([record(device="a|b")]), "md")
    assert "a\\|b" in text


def test_rows_keep_the_order_of_the_records() -> None:
    assert [row.record_id for row in rows([record("b"), record("a")])] == ["b", "a"]


@pytest.mark.parametrize("format", FORMATS)
def test_no_records_make_an_empty_table(format: Format) -> None:
    text = render([], format)
    assert text == "[]" if format == "json" else "model" in text


def test_accuracy_of_the_same_bundle_is_quoted_with_what_it_is_of() -> None:
    told = [
        evaluation("e1", bundle_id="abc", value=0.3),
        evaluation("e2", bundle_id="abc", value=0.5, boxes="truth"),
        evaluation("e3", bundle_id="abc", dataset="mpii", metric="PCKh@0.5", value=0.872),
        evaluation("e4", bundle_id="other", value=0.9),
    ]
    [row] = rows([record(bundle_id="abc")], told)
    latest = "AP 0.500 (coco, annotated boxes)"
    assert row.accuracy == f"{latest}; PCKh@0.5 0.872 (mpii)"
    assert render([row], "md").splitlines()[-1].endswith(f"| {row.accuracy} |")
    assert json.loads(render([row], "json"))[0]["accuracy"] == row.accuracy


def test_a_part_of_a_data_set_is_quoted_only_until_all_of_it_is_known() -> None:
    def quoted(*told: Evaluation) -> str | None:
        return rows([record(bundle_id="b1")], told)[0].accuracy

    few = evaluation("e1", value=0.9, images=4, partial=True)
    fewer = evaluation("e2", value=0.8, images=2, partial=True)
    assert quoted(few, fewer) == "AP 0.800 (coco, 2 images only)"
    assert quoted(few, evaluation("e3"), fewer) == "AP 0.406 (coco)"


def test_accuracy_says_how_it_was_found() -> None:
    told = evaluation("e1", boxes="truth", flip=True, device="pi")
    assert accuracy_text(told) == "AP 0.406 (coco, annotated boxes, flip test, on pi)"


def test_accuracy_of_random_weights_is_marked() -> None:
    untrained = evaluation("e1", trained=False, value=None)
    assert accuracy_text(untrained) == "AP n/a (coco, UNTRAINED)"
