"""Half precision in ncnn: which layers are kept out of it, by rule and by search.

On x86 ncnn computes in single precision whatever it is asked for, so what halves do is tested on
an emulated Cortex-A76, with the very runner that goes to a phone.
"""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import helper

from edgepose.build import build
from edgepose.bundle import Bundle, load_bundle, make_plan, seal, verify
from edgepose.engines import find_engine
from edgepose.engines.base import Artifact, PinningEngine
from edgepose.engines.ncnn_param import (
    Layer,
    computing,
    format_param,
    in_single_precision,
    parse_param,
    without_half_arithmetic,
    wrong_in_halves,
)
from edgepose.errors import ProofError
from edgepose.prove.on_host import lines_on_host, way_to_prove
from edgepose.rescue import LIMITS, pin_cost
from edgepose.runners.native_ncnn import LEFT_OUT_LAYERS
from edgepose.targets import load_target
from tests.engines.conftest import Compile
from tests.tiny_nets import make_model, normal, relative_error, save_heatmap_net

PARAM = "model.ncnn.param"
NET = (
    Layer("Input", "in0", (), ("in0",)),
    Layer("Convolution", "conv", ("in0",), ("a",), ("0=8", "1=3")),
    Layer("Split", "split", ("a",), ("b", "c")),
    Layer("Reduction", "norm", ("b",), ("d",), ("0=8",)),
    Layer("BinaryOp", "div", ("c", "d"), ("e",), ("0=3",)),
    Layer("Gemm", "gemm", ("e",), ("out0",)),
)


def by_name(layers: tuple[Layer, ...]) -> dict[str, Layer]:
    return {layer.name: layer for layer in layers}


def depthwise(name: str, **changed: str) -> Layer:
    """3x3, stride 2, 16 channels, one group each, as pnnx writes it."""
    values = {"0": "16", "1": "3", "11": "3", "2": "1", "12": "1", "3": "2", "13": "2", "7": "16"}
    values |= {key[1:]: value for key, value in changed.items()}
    params = tuple(f"{key}={value}" for key, value in values.items())
    return Layer("ConvolutionDepthWise", name, ("x",), ("y",), params)


def test_a_param_file_is_read_and_written_back(compile_onnx: Compile, tmp_path: Path) -> None:
    artifact = compile_onnx(save_heatmap_net(tmp_path / "net.onnx"), "ncnn-fp32")
    text = (artifact.folder / PARAM).read_text()
    layers = parse_param(text)
    assert layers[0].type == "Input"
    assert format_param(layers).split() == text.split()


@pytest.mark.parametrize("text", ["", "7767518\n1 1\n", "7767517\n1 1\nInput in0 0 x in0\n"])
def test_what_is_no_param_file_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"ncnn \.param"):
        parse_param(text)


def test_a_layer_with_too_few_blobs_is_refused() -> None:
    with pytest.raises(ValueError, match="the layer add names 1 blobs, not 3"):
        parse_param("7767517\n1 1\nBinaryOp add 2 1 a\n")


def test_layers_that_only_move_values_are_not_worth_a_pin() -> None:
    assert computing(NET) == ("conv", "norm", "div", "gemm")


def test_a_pinned_layer_gets_floats_and_halves_nothing() -> None:
    found = in_single_precision(NET, {"gemm"})
    layer = by_name(found)["gemm"]
    assert layer.params == ("31=3",)
    assert layer.bottoms == ("e_fp32",)
    before = found[found.index(layer) - 1]
    assert (before.type, before.bottoms, before.tops) == ("Dropout", ("e",), ("e_fp32",))
    assert before.params == ()


def test_the_nets_inputs_are_floats_already() -> None:
    assert by_name(in_single_precision(NET, {"conv"}))["conv"].bottoms == ("in0",)


def test_what_a_pinned_layer_gives_stays_single_on_its_way_to_the_next_one() -> None:
    """A value beyond 65504 must not become a half in the layer that only hands it on."""
    found = by_name(in_single_precision(NET, {"conv", "div"}))
    assert found["split"].get("31", "0") == "3"
    assert found["div"].bottoms == ("c", "d_fp32")  # the norm itself is not pinned


def test_the_identity_before_a_pinned_layer_is_built_into_the_runner() -> None:
    kinds = {layer.type for layer in in_single_precision(NET, {"gemm"})}
    assert "Dropout" in kinds
    assert not kinds & set(LEFT_OUT_LAYERS)


def test_masks_of_one_layer_add_up() -> None:
    once = without_half_arithmetic(NET, {"gemm"})
    assert by_name(once)["gemm"].params == ("31=1",)
    assert by_name(in_single_precision(once, {"gemm"}))["gemm"].params == ("31=3",)


def test_only_depthwise_3x3_of_stride_2_is_known_to_be_wrong() -> None:
    layers = (
        depthwise("wrong"),
        depthwise("few", _0="12", _7="12"),
        depthwise("grouped", _7="8"),
        depthwise("dense", _3="1", _13="1"),
        depthwise("large", _1="5", _11="5"),
        depthwise("wide", _2="2", _12="2"),
        Layer("Convolution", "plain", ("x",), ("y",), ("0=16", "1=3", "3=2")),
    )
    assert wrong_in_halves(layers) == ("wrong",)


def half_stride_net(path: Path) -> Path:
    """Depthwise 3x3 of stride 2 between two convolutions; its output is 6 wide."""
    weights = {
        "w1": normal(16, 3, 1, 1),
        "w2": normal(16, 1, 3, 3, seed=1),
        "w3": normal(4, 16, 1, 1, seed=2),
    }
    halve = {"strides": [2, 2], "pads": [1, 1, 1, 1], "group": 16}
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], **halve),
        helper.make_node("Conv", ["c", "w3"], ["y"]),
    ]
    model = make_model(nodes, {"x": [1, 3, 12, 12]}, {"y": [1, 4, 6, 6]}, weights)
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize(("recipe", "masks"), [("ncnn-fp16", 1), ("ncnn-fp16-storage", 0)])
def test_only_arithmetic_in_halves_needs_the_known_wrong_layers_masked(
    compile_onnx: Compile, tmp_path: Path, recipe: str, masks: int
) -> None:
    artifact = compile_onnx(half_stride_net(tmp_path / "net.onnx"), recipe)
    assert (artifact.folder / PARAM).read_text().count(" 31=1") == masks


def test_a_pinned_net_still_gives_its_outputs(compile_onnx: Compile, tmp_path: Path) -> None:
    engine = find_engine("ncnn")
    assert isinstance(engine, PinningEngine)
    plain = compile_onnx(half_stride_net(tmp_path / "net.onnx"), "ncnn-fp16")
    image = {"x": normal(1, 3, 12, 12, seed=3)}
    expected = engine.load(plain).run(image)["y"]
    (tmp_path / "pinned").mkdir()
    pinned = engine.pin(plain, engine.pinnable(plain), tmp_path / "pinned")
    assert relative_error(expected, engine.load(pinned).run(image)["y"]) < 1e-2
    assert pinned.folder != plain.folder
    assert " 31=3" not in (plain.folder / PARAM).read_text()


def test_only_engines_that_can_pin_say_so() -> None:
    assert not isinstance(find_engine("onnxruntime"), PinningEngine)


def for_phone(model: Path, recipe: str = "ncnn-fp16", **settings: Any) -> Bundle:
    into = model.parent / f"{model.stem}-{recipe}"
    return build(str(model), "snapdragon-865", recipe, into=into, **settings)


def without_masks(bundle: Bundle, folder: Path) -> Bundle:
    """A copy of ``bundle`` in which every layer may compute in halves."""
    shutil.copytree(bundle.folder, folder)
    text = (folder / PARAM).read_text()
    (folder / PARAM).write_text(text.replace(" 31=1", ""))
    seal(folder, bundle.manifest)
    return load_bundle(folder)


@pytest.mark.emulation
def test_the_known_wrong_kernel_is_avoided_and_still_wrong(tmp_path: Path) -> None:
    """Once it is right upstream, the second half fails and the rule can go."""
    bundle = for_phone(half_stride_net(tmp_path / "net.onnx"))
    assert bundle.manifest.proof.passed
    assert bundle.manifest.proof.where == "cortex-a76 emulated on this host"
    assert bundle.manifest.rescue is None
    [drift] = verify(without_masks(bundle, tmp_path / "unmasked")).tensors
    assert drift.max_relative_error is not None
    assert drift.max_relative_error > 0.1


def overflowing_rtmpose(path: Path, largest: float) -> Path:
    """RTMPose-t for 64x64 pixels whose first ScaleNorm sees norms of about ``largest``.

    In single precision the norm takes the factor out again.
    """
    import torch

    from models_src.rtmpose.net import rtmpose

    torch.manual_seed(0)
    net, noise = rtmpose(0.375, 0.167, 64, 64), torch.randn(8, 3, 64, 64)
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # statistics of the one batch that follows: values near 1
    tokens: list[torch.Tensor] = []
    final = net.head.final_layer
    with torch.no_grad():
        net.train()(noise)
        final.register_forward_hook(lambda *call: tokens.append(call[2]))
        net.eval()(noise[:1])
        factor = largest / tokens[0].flatten(2).norm(dim=2).max()
        final.weight *= factor
        assert final.bias is not None
        final.bias *= factor
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (noise[:1],),
            str(path),
            opset_version=17,
            dynamo=False,
            input_names=["input"],
            output_names=["simcc_x", "simcc_y"],
        )
    return path


@pytest.mark.emulation
def test_an_rtmpose_that_overflows_in_halves_is_rescued_by_a_few_pins(tmp_path: Path) -> None:
    bundle = for_phone(overflowing_rtmpose(tmp_path / "net.onnx", 85_000), untrained=True)
    manifest = load_bundle(bundle.folder).manifest
    assert manifest.proof.passed
    assert all(tensor.finite for tensor in manifest.proof.tensors)
    assert manifest.rescue is not None
    assert "holds NaN or Inf" in manifest.rescue.failures[0]
    assert 1 <= len(manifest.rescue.pinned) <= 3
    assert manifest.rescue.minimal
    assert manifest.rescue.tried <= LIMITS.trials
    assert manifest.rescue.cost is None
    assert "not measured" in manifest.rescue.note
    layers = by_name(parse_param((bundle.folder / PARAM).read_text()))
    assert all(layers[name].get("31", "0") == "3" for name in manifest.rescue.pinned)
    again = build(
        str(tmp_path / "net.onnx"),
        "snapdragon-865",
        "ncnn-fp16",
        into=tmp_path / "b",
        untrained=True,
    )
    assert again.manifest == manifest  # from the cache, pins and all


@pytest.mark.emulation
def test_weights_beyond_halves_cannot_be_rescued_and_the_error_names_safer_recipes(
    tmp_path: Path,
) -> None:
    weights = {"w1": normal(8, 3, 3, 3) * 1e6, "w2": normal(3, 8, 1, 1) * 1e-6}
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["y"]),
    ]
    model = make_model(nodes, {"x": [1, 3, 16, 16]}, {"y": [1, 3, 16, 16]}, weights)
    onnx.save(model, str(tmp_path / "net.onnx"))
    with pytest.raises(ProofError) as caught:
        for_phone(tmp_path / "net.onnx")
    assert "tried 1 times in vain: it fails even with every layer" in str(caught.value)
    assert "ncnn-fp16-storage or ncnn-fp32" in caught.value.hint


@pytest.mark.emulation
def test_the_harm_of_a_layer_at_the_outputs_is_what_the_wrong_kernel_does(tmp_path: Path) -> None:
    """The only layer with an error of its own does alone what the whole net does."""
    bundle = without_masks(for_phone(half_stride_net(tmp_path / "net.onnx")), tmp_path / "unmasked")
    manifest = bundle.manifest
    options = dict(manifest.artifact.options)
    halves = ("fp16_packed", "fp16_storage", "fp16_arithmetic")
    plan = make_plan(
        manifest,
        "trace",
        "trace",
        {name: str(bundle.folder / name) for name in manifest.files},
        reference_options=options | dict.fromkeys(halves, False),
        follow=computing(parse_param((bundle.folder / PARAM).read_text())),
    )
    way = way_to_prove(
        bundle.folder / manifest.runner, load_target(manifest.target), manifest.recipe
    )
    lines = lines_on_host(plan, way.command).all("trace")
    followed = {line["type"]: line["outputs"]["y"] for line in lines if line["outputs"]}
    harm = followed["ConvolutionDepthWise"]["max_relative_error"]
    assert harm > 0.1
    assert harm == pytest.approx(lines[-1]["max_relative_error"], rel=0.1)
    assert all(line["alone"]["max_relative_error"] <= 1e-3 for line in lines if not line["outputs"])


def test_where_the_host_is_the_target_the_latency_of_pins_is_measured(
    tiny_bundle: Callable[[str], Bundle],
) -> None:
    """On x86 the pins change nothing, so the two medians are close to each other, and real."""
    bundle, engine = tiny_bundle("ncnn-fp16"), find_engine("ncnn")
    assert isinstance(engine, PinningEngine)
    manifest = bundle.manifest
    artifact = Artifact(
        bundle.folder,
        manifest.artifact.files,
        manifest.artifact.options,
        manifest.inputs,
        manifest.outputs,
    )
    pins = engine.pinnable(artifact)[:1]
    cost, note = pin_cost(bundle, artifact, engine, pins)
    assert cost is not None
    assert note == ""
    assert 0 < cost.pinned_ms < 10 * cost.without_ms
