"""``edgepose eval`` as users start it, on the reference photographs."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from edgepose.bench.store import RecordStore
from edgepose.bundle import Bundle
from edgepose.cli.eval import DATASETS
from edgepose.evaluate import datasets
from edgepose.evaluate.store import append_evaluation
from tests.bench.records import record
from tests.cli.conftest import Edgepose
from tests.evaluate.evaluations import evaluation
from tests.evaluate.files import coco, save
from tests.tiny_nets import HEATMAP_TOML, save_heatmap_net
from tests.trained_model import EXAMPLES


@pytest.fixture
def words(edgepose: Edgepose, shared_data: Path) -> list[str | Path]:
    """The command for the smaller trained net, which lies in the current folder."""
    shutil.copy(shared_data / "models" / "tinypose-128x96.onnx", Path())
    shutil.copy(EXAMPLES / "tinypose-128x96.toml", Path())
    images = shared_data / "images"
    data = ("--dataset", "coco", "--images", images, "--annotations", images / "test_coco.json")
    return ["eval", "tinypose-128x96.onnx", *data]


def test_the_data_sets_of_the_command_are_those_that_can_be_scored() -> None:
    assert tuple(datasets.DATASETS) == DATASETS


def test_eval_prints_a_table_and_keeps_the_result(
    edgepose: Edgepose, words: list[str | Path], tmp_path: Path
) -> None:
    done = edgepose(*words, "--into", "result.json")
    assert done.returncode == 0, done.stderr
    head, *rest = done.stdout.splitlines()
    assert head.startswith("model  tinypose-128x96 (onnxruntime-fp32), bundle ")
    assert rest[0] == "where  in this process"
    assert rest[1] == "data   coco: 4 images, 12 people"
    assert rest[2] == "how    annotated boxes, without flip test"
    assert rest[4].split()[:3] == ["AP", "AP50", "AP75"]
    saved = json.loads(Path("result.json").read_text())
    assert rest[6].split()[:2] == ["all", f"{saved['value']:.3f}"]
    assert saved["value"] == pytest.approx(0.643, abs=0.03)
    assert "4 of 4 images" in done.stderr
    [stored] = (tmp_path / "records" / "evaluations.jsonl").read_text().splitlines()
    assert json.loads(stored) == saved

    again = edgepose("--quiet", *words, "--json")
    assert again.stderr == ""
    told = json.loads(again.stdout)
    assert (told["scores"], told["bundle_id"]) == (saved["scores"], saved["bundle_id"])


def test_eval_on_a_device_says_what_it_says_here(
    edgepose: Edgepose, words: list[str | Path]
) -> None:
    here, there = (
        json.loads(edgepose(*words, "--json", *more).stdout) for more in ((), ("--device", "local"))
    )
    assert (here["device"], there["device"]) == (None, "local")
    assert there["bundle_id"] == here["bundle_id"]
    assert there["value"] == pytest.approx(here["value"], abs=1e-6)


def test_ap_stands_beside_the_latency_of_the_same_bundle(
    edgepose: Edgepose, tmp_path: Path
) -> None:
    for each in (record("r1", bundle_id="b1"), record("r2", model="other", bundle_id="b2")):
        RecordStore().append(each)
    assert "accuracy" not in edgepose("report").stdout
    append_evaluation(evaluation("e1", value=0.1))
    append_evaluation(evaluation("e2", value=0.4056))
    text = edgepose("report").stdout
    assert text.splitlines()[0].split()[-1] == "accuracy"
    assert text.splitlines()[2].endswith("AP 0.406 (coco)")
    assert text.count("AP 0.") == 1
    rows = csv.DictReader(io.StringIO(edgepose("report", "--format", "csv").stdout))
    assert [row["accuracy"] for row in rows] == ["AP 0.406 (coco)", ""]


def test_what_a_model_without_training_says_comes_with_a_warning(
    edgepose: Edgepose, tmp_path: Path
) -> None:
    net = save_heatmap_net(tmp_path / "tiny.onnx")
    net.with_suffix(".toml").write_text(f"trained = false\n{HEATMAP_TOML}")
    annotations = save(tmp_path / "a.json", coco())
    data = ("--dataset", "coco", "--images", tmp_path, "--annotations", annotations)
    done = edgepose("eval", net, *data)
    assert "warning: tiny has random weights" in done.stderr
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: tiny has 3 key points, COCO has 17" in done.stderr
    assert "hint: " in done.stderr


def test_detections_without_scores_end_with_the_reason(
    edgepose: Edgepose, words: list[str | Path]
) -> None:
    boxes = save(Path("boxes.json"), [{"image_id": 785, "category_id": 1, "bbox": [1, 1, 9, 9]}])
    done = edgepose(*words, "--detections", boxes)
    assert done.returncode == 2
    assert "boxes.json: detection 0 has no field 'score'" in done.stderr


def test_weights_of_a_detector_that_is_not_named_are_refused(
    edgepose: Edgepose, words: list[str | Path]
) -> None:
    done = edgepose(*words, "--detector-weights", "rtmdet.safetensors")
    assert done.returncode == 2
    assert "--detector-weights are given without a detector" in done.stderr


def test_a_result_that_cannot_be_written_is_not_kept_either(
    edgepose: Edgepose, words: list[str | Path], tmp_path: Path
) -> None:
    Path("file").write_text("")
    done = edgepose(*words, "--into", "file/result.json")
    assert done.returncode != 0
    assert not (tmp_path / "records" / "evaluations.jsonl").exists()


def test_a_bundle_is_evaluated_as_it_is(edgepose: Edgepose, tiny: Bundle, tmp_path: Path) -> None:
    annotations = save(tmp_path / "a.json", coco())
    data = ("--dataset", "coco", "--images", tmp_path, "--annotations", annotations)
    done = edgepose("eval", tiny.folder, *data, "--recipe", "ncnn-fp16")
    assert done.returncode == 2
    assert "is a bundle made by onnxruntime-fp32, not by ncnn-fp16" in done.stderr
