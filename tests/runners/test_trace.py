"""The native runner layer by layer: mode ``profile`` and mode ``trace``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.bundle import Bundle
from edgepose.engines.ncnn_param import parse_param
from edgepose.runners.result import read_result
from tests.runners.conftest import Run

TinyBundle = Callable[[str], Bundle]
SINGLE = {"fp16_packed": False, "fp16_storage": False, "fp16_arithmetic": False}


@pytest.fixture
def bundle(tiny_bundle: TinyBundle) -> Bundle:
    built = tiny_bundle("ncnn-fp32")
    assert built.manifest.runner == "runner"
    return built


def lines(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [
        dict(line) for line in read_result((folder / "result.jsonl").read_bytes(), "").all(kind)
    ]


def layers_of(bundle: Bundle) -> list[tuple[str, str]]:
    """Name and type of the layers that run."""
    layers = parse_param((bundle.folder / "model.ncnn.param").read_text())
    return [(layer.name, layer.type) for layer in layers if layer.type != "Input"]


def exact(bundle: Bundle) -> dict[str, Any]:
    return bundle.manifest.artifact.options | SINGLE


def test_profile_times_every_layer_in_every_pass(bundle: Bundle, run: Run) -> None:
    done, folder = run(bundle, "profile", runs=4)
    assert done.returncode == 0, done.stderr
    found = lines(folder, "layer")
    assert [(line["name"], line["type"]) for line in found] == layers_of(bundle)
    assert all(len(line["ns"]) == 4 and min(line["ns"]) > 0 for line in found)


def test_trace_tells_every_layer_of_every_case(bundle: Bundle, run: Run) -> None:
    done, folder = run(bundle, "trace", reference_options=exact(bundle))
    assert done.returncode == 0, done.stderr
    found = lines(folder, "trace")
    expected = [
        (case.name, *layer) for case in bundle.manifest.golden for layer in layers_of(bundle)
    ]
    assert [(line["case"], line["name"], line["type"]) for line in found] == expected


def test_a_net_traced_beside_itself_has_no_error(bundle: Bundle, run: Run) -> None:
    _, folder = run(bundle, "trace", reference_options=exact(bundle))
    for line in lines(folder, "trace"):
        for figures in (line, line["alone"]):
            assert figures["finite"] is True
            assert figures["max_relative_error"] == 0
            assert figures["mean_relative_error"] == 0
            assert figures["cosine"] == pytest.approx(1, abs=1e-12)


def test_the_last_layer_of_a_trace_is_the_output(bundle: Bundle, run: Run) -> None:
    _, folder = run(bundle, "trace", reference_options=exact(bundle))
    last = {line["case"]: line["largest"] for line in lines(folder, "trace")}
    for case in bundle.golden():
        assert last[case.name] == pytest.approx(np.abs(case.outputs["heatmaps"]).max(), rel=1e-4)


def test_an_error_that_is_not_there_is_not_followed(bundle: Bundle, run: Run) -> None:
    names = tuple(name for name, _ in layers_of(bundle))
    _, folder = run(bundle, "trace", reference_options=exact(bundle), follow=names)
    assert [line["outputs"] for line in lines(folder, "trace")] == [{}] * (
        len(names) * len(bundle.manifest.golden)
    )


def test_a_trace_needs_options_for_its_reference(bundle: Bundle, run: Run) -> None:
    done, folder = run(bundle, "trace", reference_options=None)
    assert done.returncode == 10
    error = json.loads((folder / "result.jsonl").read_text().splitlines()[-2])
    assert error["kind"] == "error"


def test_the_python_runner_traces_nothing(tiny_bundle: TinyBundle, run: Run) -> None:
    done, _ = run(tiny_bundle("onnxruntime-fp32"), "trace")
    assert done.returncode == 10
    assert "unknown mode" in done.stderr


def test_a_proof_may_repeat_each_case_and_still_writes_it_once(bundle: Bundle, run: Run) -> None:
    done, folder = run(bundle, "prove", repeats=3)
    assert done.returncode == 0, done.stderr
    assert len(lines(folder, "proof")) == len(bundle.manifest.golden)
