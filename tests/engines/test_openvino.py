"""What is particular to OpenVINO: its precisions, what it cannot read, and that it keeps quiet."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import helper

from edgepose.build import build
from edgepose.bundle import Bundle, verify
from edgepose.engines import find_engine
from edgepose.errors import RunError, UnsupportedModelError, UsageError
from edgepose.graph.check import read_graph
from edgepose.recipes import load_recipe
from edgepose.runners.python.backend_openvino import import_openvino, layers_of
from edgepose.targets import load_target
from tests.engines.conftest import Compile, Load
from tests.tiny_bundles import build_tiny
from tests.tiny_nets import (
    make_model,
    normal,
    relative_error,
    run_unoptimised,
    save_heatmap_net,
)
from tests.trained_model import EXAMPLES

ROOT = Path(__file__).parents[2]
EMULATOR = shutil.which("qemu-x86_64-static") or shutil.which("qemu-x86_64")
IMAGE = {"input": normal(1, 3, 64, 48, seed=3)}
SAY_PRECISION = """
import logging, sys
from pathlib import Path
from edgepose.engines.base import Artifact
from edgepose.engines.openvino import ENGINE
from edgepose.graph.spec import TensorSpec
logging.basicConfig(stream=sys.stdout, format="%(message)s")
artifact = Artifact(
    Path(sys.argv[1]), ("model.onnx",), {"precision": "bf16"},
    (TensorSpec("input", (1, 3, 64, 48)),), (TensorSpec("heatmaps", (1, 3, 16, 12)),))
print("computed in", ENGINE.load(artifact).computed_in)
"""


@pytest.fixture(scope="module")
def has_bf16() -> bool:
    core = import_openvino().Core()
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def test_the_artifact_is_the_graph_as_it_is_and_its_precision(
    compile_onnx: Compile, tmp_path: Path
) -> None:
    artifact = compile_onnx(save_heatmap_net(tmp_path / "net.onnx"), "openvino-fp32")
    assert artifact.files == ("model.onnx",)
    assert sorted(path.name for path in artifact.folder.iterdir()) == ["model.onnx"]
    assert artifact.options == {"precision": "fp32"}


def test_bf16_has_convolutions_for_the_shuffles_of_a_real_net(
    compile_onnx: Compile, shared_data: Path
) -> None:
    source = shared_data / "models" / "tinypose-128x96.onnx"
    kinds = [
        Counter(node.op_type for node in onnx.load(artifact.folder / "model.onnx").graph.node)
        for artifact in (compile_onnx(source, f"openvino-{one}") for one in ("fp32", "bf16"))
    ]
    assert kinds[0]["Transpose"] >= 40
    assert kinds[1]["Transpose"] == 0
    assert kinds[1]["Conv"] == kinds[0]["Conv"] + kinds[0]["Transpose"]


def test_single_precision_is_computed_in_single_precision_on_every_cpu(
    load_onnx: Load, tmp_path: Path
) -> None:
    session = load_onnx(save_heatmap_net(tmp_path / "net.onnx"), "openvino-fp32")
    assert session.computed_in == "fp32"


def test_bf16_moves_the_outputs_as_much_as_eight_bits_do(
    load_onnx: Load, tmp_path: Path, has_bf16: bool
) -> None:
    if not has_bf16:
        pytest.skip("this CPU has no bf16")
    net = save_heatmap_net(tmp_path / "net.onnx")
    session = load_onnx(net, "openvino-bf16")
    expected = run_unoptimised(net, IMAGE)["heatmaps"]
    assert session.computed_in == "bf16"
    assert 5e-4 < relative_error(expected, session.run(IMAGE)["heatmaps"]) < 2e-2


@pytest.mark.skipif(EMULATOR is None, reason="qemu-x86_64 is not installed")
def test_a_cpu_without_bf16_computes_in_single_precision_and_says_so(
    compile_onnx: Compile, tmp_path: Path
) -> None:
    artifact = compile_onnx(save_heatmap_net(tmp_path / "net.onnx"), "openvino-bf16")
    command = [str(EMULATOR), "-cpu", "max", sys.executable, "-c", SAY_PRECISION]
    done = subprocess.run(
        [*command, str(artifact.folder)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert "computed in fp32" in done.stdout.splitlines(), done.stderr
    assert "told to compute in bf16 and computed in fp32" in done.stdout


def test_a_proof_on_this_host_says_that_it_hides_the_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = build_tiny(tmp_path, recipe="openvino-fp32")
    told = msgspec.structs.replace(bundle.manifest, recipe=load_recipe("openvino-bf16"))
    assert verify(Bundle(bundle.folder, told)).passed
    assert "computed in fp32, so its error does not show here" in caplog.text


def test_what_is_given_may_be_read_only_and_stays_as_it_is(load_onnx: Load, tmp_path: Path) -> None:
    session = load_onnx(save_heatmap_net(tmp_path / "net.onnx"), "openvino-fp32")
    image = IMAGE["input"].copy()
    image.flags.writeable = False
    expected = session.run(IMAGE)["heatmaps"]
    np.testing.assert_array_equal(session.run({"input": image})["heatmaps"], expected)
    np.testing.assert_array_equal(image, IMAGE["input"])


def test_an_operator_that_openvino_lacks_is_named(compile_onnx: Compile, tmp_path: Path) -> None:
    node = helper.make_node("Det", ["x"], ["y"])
    model = make_model([node], {"x": [1, 3, 16, 16]}, {"y": [1, 3]})
    onnx.save(model, str(tmp_path / "net.onnx"))
    with pytest.raises(UnsupportedModelError, match=r"OpenVINO does not read .*Det") as caught:
        compile_onnx(tmp_path / "net.onnx", "openvino-fp32")
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_a_precision_that_is_not_driven_is_refused(tmp_path: Path) -> None:
    graph = read_graph(save_heatmap_net(tmp_path / "net.onnx"), 17)
    recipe = msgspec.structs.replace(load_recipe("openvino-fp32"), precision="fp16")
    with pytest.raises(UsageError, match="computes in fp32 or bf16 here, not in fp16"):
        find_engine("openvino").compile(graph, load_target("host"), recipe, tmp_path)


def test_a_message_of_the_runtime_is_one_paragraph(compile_onnx: Compile, tmp_path: Path) -> None:
    artifact = compile_onnx(save_heatmap_net(tmp_path / "net.onnx"), "openvino-fp32")
    (artifact.folder / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(RunError, match="openvino refuses the model: ") as caught:
        find_engine("openvino").load(artifact)
    assert "\n" not in str(caught.value)


def test_loading_imports_no_telemetry_and_writes_nothing_at_home(
    compile_onnx: Compile, tmp_path: Path
) -> None:
    artifact = compile_onnx(save_heatmap_net(tmp_path / "net.onnx"), "openvino-bf16")
    spy, home = tmp_path / "spy", tmp_path / "home"
    (spy / "openvino_telemetry").mkdir(parents=True)
    (spy / "openvino_telemetry" / "__init__.py").write_text("raise SystemExit('it was imported')")
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SAY_PRECISION, str(artifact.folder)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env=os.environ | {"HOME": str(home), "PYTHONPATH": f"{spy}{os.pathsep}{ROOT}"},
    )
    assert "computed in" in done.stdout, done.stderr
    assert not list(home.iterdir())


@pytest.fixture(scope="module")
def folder(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the trained nets and their descriptions."""
    folder = tmp_path_factory.mktemp("bf16")
    for name in ("tinypose-128x96", "rtmdet-nano"):
        shutil.copy(shared_data / "models" / f"{name}.onnx", folder)
        shutil.copy(EXAMPLES / f"{name}.toml", folder)
    return folder


def built(folder: Path, name: str, recipe: str) -> Bundle:
    return build(str(folder / f"{name}.onnx"), recipe=recipe, into=folder / f"{name}-{recipe}")


@pytest.mark.parametrize("name", ["tinypose-128x96", "rtmdet-nano"])
def test_trained_nets_keep_their_points_in_bf16(folder: Path, name: str, has_bf16: bool) -> None:
    exact, coarse = (
        built(folder, name, recipe).manifest.proof for recipe in ("openvino-fp32", "openvino-bf16")
    )
    assert exact.passed and coarse.passed
    assert exact.keypoints and coarse.keypoints
    assert exact.keypoints.max_px < 0.001
    assert coarse.keypoints.mean_px < 0.5
    if has_bf16:
        assert coarse.keypoints.mean_px > 0.01


def info(name: str, kind: str, us: int, status: str = "EXECUTED") -> Any:
    """As the runtime tells it: the mean of all inferences since it compiled."""
    statuses = SimpleNamespace(EXECUTED="EXECUTED")
    time = SimpleNamespace(total_seconds=lambda: us / 1e6)
    return SimpleNamespace(
        node_name=name,
        node_type=kind,
        exec_type="jit",
        real_time=time,
        status=status,
        Status=statuses,
    )


def profiled(us: int, status: str = "EXECUTED") -> Sequence[Any]:
    return [info("x", "Parameter", 0), info("conv", "Convolution", us, status)]


def test_a_layer_s_latency_is_the_mean_without_the_warm_up() -> None:
    (layer,) = layers_of(profiled(900), 2, profiled(400), 8)  # 4000 µs in all, 1800 of them cold
    assert layer == {"name": "conv", "type": "Convolution jit", "ns": [275_000]}
    assert layers_of([], 0, profiled(400), 8)[0]["ns"] == [400_000]


def test_layers_that_did_not_run_have_no_latency() -> None:
    assert layers_of([], 0, profiled(400, "NOT_RUN"), 8) == []
