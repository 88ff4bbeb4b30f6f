"""``edgepose models``: the list, one model, and what one model costs."""

import json

from edgepose.zoo import list_models, model_spec
from tests.cli.conftest import Edgepose

MODEL = "litepose-xs"


def test_the_list_shows_every_model_under_its_family_in_120_columns(edgepose: Edgepose) -> None:
    lines = edgepose("models").stdout.splitlines()
    first_words = [line.split()[0] for line in lines if line]
    assert [word for word in first_words if word in list_models()] == list_models()
    assert "rtmpose:" in first_words
    assert max(map(len, lines)) <= 120


def test_a_model_shows_true_paper_s_and_published_macs(edgepose: Edgepose) -> None:
    text = edgepose("models", MODEL).stdout
    for figure in ("0.8858 G true", "1.2052 G as ", "1.2 G published", "1,675,912 true"):
        assert figure in text


def test_ops_counts_stages_operators_and_memory(edgepose: Edgepose) -> None:
    spec = model_spec(MODEL)
    done = edgepose("models", MODEL, "--ops", "--json")
    found = json.loads(done.stdout)
    assert found["parameters"] == spec.parameters
    assert found["macs"] == spec.macs == sum(stage["macs"] for stage in found["stages"])
    assert found["paper_macs"] == spec.paper_macs
    assert found["paper_rule"]
    assert found["graph"]["operators"]["ConvTranspose"] == 6
    # Two tensors of 96 channels at stride 2 while stage 0 widens, and stride 2's own for the head.
    assert found["graph"]["peak_bytes"] == 4 * (2 * 96 + 16) * 128 * 128
    assert 4 * (spec.parameters or 0) > found["graph"]["weight_bytes"] > 4 * 1_600_000
    assert "exporting" in done.stderr


def test_ops_as_text_names_all_of_it(edgepose: Edgepose) -> None:
    done = edgepose("-q", "models", MODEL, "--ops")
    for word in ("13.00 MiB", "ConvTranspose", "stage.3", "1×17×128×128", "1.2 G published"):
        assert word in done.stdout
    assert not done.stderr


def test_ops_needs_a_model(edgepose: Edgepose) -> None:
    done = edgepose("models", "--ops")
    assert done.returncode == 2
    assert "--ops needs" in done.stderr
