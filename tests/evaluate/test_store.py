import json
import logging
from pathlib import Path

import pytest

from edgepose.evaluate.store import append_evaluation, evaluations_of
from tests.evaluate.evaluations import evaluation


def test_evaluations_come_back_by_bundle_in_their_order(tmp_path: Path) -> None:
    told = [evaluation("e1"), evaluation("e2", bundle_id="other"), evaluation("e3", value=None)]
    for each in told:
        append_evaluation(each, tmp_path)
    assert evaluations_of({"b1"}, tmp_path) == [told[0], told[2]]
    assert evaluations_of({"b1", "other"}, tmp_path) == told
    assert evaluations_of(set(), tmp_path) == []


def test_without_a_file_there_are_none(tmp_path: Path) -> None:
    assert evaluations_of({"b1"}, tmp_path / "none") == []


def test_lines_that_are_no_evaluations_are_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = append_evaluation(evaluation("e1"), tmp_path)
    newer = json.loads(path.read_text()) | {"schema_version": 2, "evaluation_id": "e2"}
    with path.open("a") as file:
        file.write(json.dumps(newer) + "\n\n" + '{"schema_version": 1}\nhalf a li')
    append_evaluation(evaluation("e3"), tmp_path)
    with caplog.at_level(logging.WARNING):
        assert [each.evaluation_id for each in evaluations_of({"b1"}, tmp_path)] == ["e1", "e3"]
    assert "line 2 is left out: a newer edgepose wrote it" in caplog.text
    assert caplog.text.count("is left out") == 3
