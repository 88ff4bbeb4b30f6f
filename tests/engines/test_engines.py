import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from edgepose.engines import find_engine, usable_engine
from edgepose.engines.packages import check_packages
from edgepose.errors import BuildError, RunError, ToolchainError, UnsupportedModelError
from edgepose.runners.python.backend_onnxruntime import OnnxruntimeBackend
from tests.engines.conftest import Compile, Load
from tests.tiny_nets import (
    make_model,
    normal,
    relative_error,
    run_unoptimised,
    save_heatmap_net,
)

ENGINES = {
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "ncnn": "ncnn",
    "tvm": "apache-tvm",
}
RECIPES = {
    "onnxruntime-fp32": 1e-5,
    "openvino-fp32": 1e-5,
    "openvino-bf16": 2e-2,
    "ncnn-fp32": 1e-4,
    "ncnn-fp16": 2e-2,
    "tvm-autoscheduler": 1e-5,
}
SINGLE = ["onnxruntime-fp32", "openvino-fp32", "ncnn-fp32", "tvm-autoscheduler"]
IMAGE = {"input": normal(1, 3, 64, 48, seed=3)}


def square_net(path: Path, *nodes: Any, weights: dict[str, Any] | None = None) -> Path:
    """A net of ``nodes`` from x [1, 3, 16, 16] to y of the same shape."""
    shape = [1, 3, 16, 16]
    onnx.save(make_model(nodes, {"x": shape}, {"y": shape}, weights), str(path))
    return path


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_conv_net_gives_the_outputs_of_its_onnx_file(
    load_onnx: Load, tmp_path: Path, recipe: str
) -> None:
    net = save_heatmap_net(tmp_path / "net.onnx")
    expected = run_unoptimised(net, IMAGE)
    outputs = load_onnx(net, recipe).run(IMAGE)
    assert list(outputs) == ["heatmaps"]
    assert outputs["heatmaps"].dtype == np.float32
    assert relative_error(expected["heatmaps"], outputs["heatmaps"]) < RECIPES[recipe]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_session_runs_other_inputs_and_keeps_earlier_outputs(
    load_onnx: Load, tmp_path: Path, recipe: str
) -> None:
    net = save_heatmap_net(tmp_path / "net.onnx")
    session = load_onnx(net, recipe)
    first = session.run(IMAGE)["heatmaps"]
    kept = first.copy()
    second = session.run({"input": -IMAGE["input"]})["heatmaps"]
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(session.run(IMAGE)["heatmaps"], kept)


@pytest.mark.parametrize("recipe", SINGLE)
def test_an_image_whose_channels_come_last_in_memory_is_the_same_image(
    load_onnx: Load, tmp_path: Path, recipe: str
) -> None:
    session = load_onnx(save_heatmap_net(tmp_path / "net.onnx"), recipe)
    expected = session.run(IMAGE)["heatmaps"]
    found = session.run({"input": np.asfortranarray(IMAGE["input"])})["heatmaps"]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("recipe", SINGLE)
def test_several_inputs_and_outputs_keep_their_names(
    load_onnx: Load, tmp_path: Path, recipe: str
) -> None:
    shapes = {"right": [1, 3, 8, 8], "left": [1, 3, 8, 8]}
    nodes = [
        helper.make_node("Sub", ["right", "left"], ["difference"]),
        helper.make_node("Relu", ["left"], ["/head/a:0"]),
    ]
    outputs = {"/head/a:0": [1, 3, 8, 8], "difference": [1, 3, 8, 8]}
    onnx.save(make_model(nodes, shapes, outputs), str(tmp_path / "net.onnx"))
    arrays = {name: normal(1, 3, 8, 8, seed=index) for index, name in enumerate(shapes)}
    found = load_onnx(tmp_path / "net.onnx", recipe).run(arrays)
    np.testing.assert_allclose(found["difference"], arrays["right"] - arrays["left"], atol=1e-6)
    np.testing.assert_allclose(found["/head/a:0"], np.maximum(arrays["left"], 0), atol=1e-6)


@pytest.mark.parametrize(
    ("operator", "attributes"), [("Det", {}), ("Hardmax", {}), ("Trilu", {"upper": 1})]
)
def test_an_operator_that_ncnn_lacks_is_named(
    compile_onnx: Compile, tmp_path: Path, operator: str, attributes: dict[str, Any]
) -> None:
    node = helper.make_node(operator, ["x"], ["y"], **attributes)
    net = square_net(tmp_path / "net.onnx", node)
    if operator == "Det":
        onnx.save(make_model([node], {"x": [1, 3, 16, 16]}, {"y": [1, 3]}), str(net))
    with pytest.raises(UnsupportedModelError, match=f"ncnn has no layer .* {operator}") as caught:
        compile_onnx(net, "ncnn-fp32")
    assert caught.value.hint


def test_a_crash_of_the_converter_is_a_build_error(compile_onnx: Compile, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("TopK", ["x", "k"], ["y", "indices"]),  # pnnx dies of the unread indices
    ]
    net = square_net(tmp_path / "net.onnx", *nodes, weights={"k": np.array([16], np.int64)})
    with pytest.raises(BuildError, match="pnnx ended with exit code") as caught:
        compile_onnx(net, "ncnn-fp32")
    assert "\x1b" not in str(caught.value)
    assert caught.value.hint


def test_an_output_of_another_size_is_a_run_error(load_onnx: Load, tmp_path: Path) -> None:
    node = helper.make_node("ReduceLogSum", ["x"], ["y"], axes=[3])  # pnnx leaves it out
    model = make_model([node], {"x": [1, 3, 16, 16]}, {"y": [1, 3, 16, 1]})
    onnx.save(model, str(tmp_path / "net.onnx"))
    session = load_onnx(tmp_path / "net.onnx", "ncnn-fp32")
    with pytest.raises(RunError, match=r"'y' the shape \(3, 16, 16\) instead of \(1, 3, 16, 1\)"):
        session.run({"x": normal(1, 3, 16, 16)})


@pytest.mark.parametrize("recipe", SINGLE)
@pytest.mark.parametrize(
    "inputs",
    [
        {"other": IMAGE["input"]},
        {"input": IMAGE["input"][:, :, :32]},
        {"input": IMAGE["input"][0]},
        {**IMAGE, "more": IMAGE["input"]},
        {},
    ],
    ids=["name", "height", "rank", "too many", "none"],
)
def test_wrong_inputs_are_refused_with_the_right_ones(
    load_onnx: Load, tmp_path: Path, recipe: str, inputs: dict[str, Any]
) -> None:
    session = load_onnx(save_heatmap_net(tmp_path / "net.onnx"), recipe)
    with pytest.raises(RunError, match=r"'input': \((1|None), 3, 64, 48\)"):
        session.run(inputs)


@pytest.mark.parametrize("recipe", SINGLE)
def test_a_damaged_artifact_does_not_load(
    compile_onnx: Compile, tmp_path: Path, recipe: str
) -> None:
    artifact = compile_onnx(save_heatmap_net(tmp_path / "net.onnx"), recipe)
    (artifact.folder / artifact.files[0]).write_bytes(b"damaged")
    with pytest.raises(RunError, match="refuses"):
        find_engine(recipe.split("-")[0]).load(artifact)


def test_half_precision_halves_the_weights_of_ncnn(compile_onnx: Compile, tmp_path: Path) -> None:
    net = save_heatmap_net(tmp_path / "net.onnx", channels=64)
    sizes = [
        (compile_onnx(net, recipe).folder / "model.ncnn.bin").stat().st_size
        for recipe in ("ncnn-fp32", "ncnn-fp16")
    ]
    assert 0.45 < sizes[1] / sizes[0] < 0.55


def test_onnxruntime_takes_as_many_images_at_once_as_it_gets(
    load_onnx: Load, tmp_path: Path
) -> None:
    net = save_heatmap_net(tmp_path / "net.onnx")
    session, images = load_onnx(net, "onnxruntime-fp32"), normal(5, 3, 64, 48)
    together = session.run({"input": images})["heatmaps"]
    for image, found in zip(images, together, strict=True):
        alone = run_unoptimised(net, {"input": image[None]})["heatmaps"]
        assert relative_error(alone, found[None]) < 1e-5


def test_a_runner_holds_onnxruntime_to_the_batch_of_its_plan(
    compile_onnx: Compile, tmp_path: Path
) -> None:
    artifact = compile_onnx(save_heatmap_net(tmp_path / "net.onnx"), "onnxruntime-fp32")
    backend = OnnxruntimeBackend(
        {"model.onnx": str(artifact.folder / "model.onnx")},
        {},
        [{"name": "input", "shape": [1, 3, 64, 48]}],
        [{"name": "heatmaps", "shape": [1, 3, 16, 12]}],
        threads=1,
    )
    backend.bind({"input": normal(2, 3, 64, 48)})
    with pytest.raises(Exception, match="Got: 2 Expected: 1"):
        backend.infer()


def test_onnxruntime_takes_the_graph_as_it_is(compile_onnx: Compile, tmp_path: Path) -> None:
    artifact = compile_onnx(save_heatmap_net(tmp_path / "net.onnx"), "onnxruntime-fp32")
    assert artifact.files == ("model.onnx",)
    assert sorted(path.name for path in artifact.folder.iterdir()) == ["model.onnx"]


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ToolchainError, match="'tensorrt'") as caught:
        find_engine("tensorrt")
    assert all(name in caught.value.hint for name in ENGINES)


@pytest.mark.parametrize("name", ENGINES)
def test_an_installed_engine_reports_its_versions(name: str) -> None:
    status = usable_engine(name).check()
    assert status.available
    assert ENGINES[name] in status.versions
    assert not status.missing


def test_a_missing_package_is_named_with_the_way_to_get_it() -> None:
    status = check_packages("numpy", "edgepose-no-such-package", extra="ncnn")
    assert not status.available
    assert status.missing == ("edgepose-no-such-package",)
    assert list(status.versions) == ["numpy"]
    assert "pip install 'edgepose[ncnn]'" in status.fix


def test_an_engine_that_is_not_installed_is_a_toolchain_error(tmp_path: Path) -> None:
    """Run by a Python that sees edgepose and its base packages, and no runtime."""
    site = tmp_path / "site"
    site.mkdir()
    for package in ("numpy", "numpy.libs", "msgspec", "platformdirs"):
        installed = Path(np.__file__).parent.parent / package
        shutil.copytree(installed, site / package, symlinks=True)
    program = (
        "from edgepose.engines import usable_engine\n"
        "from edgepose.errors import ToolchainError\n"
        "try: usable_engine('ncnn')\n"
        "except ToolchainError as error: print(error, error.hint)\n"
    )
    root = Path(__file__).parent.parent.parent
    code = f"import sys; sys.path += [{str(root)!r}, {str(site)!r}]\n{program}"
    words = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert "needs ncnn, pnnx, which this host lacks" in done.stdout, done.stderr
    assert "edgepose[ncnn]" in done.stdout
