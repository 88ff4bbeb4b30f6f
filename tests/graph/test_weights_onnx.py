"""Weights come back out of an ONNX export whose batch norms were folded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from edgepose.errors import WeightsError
from edgepose.graph.create import build_net, create_model
from edgepose.graph.export import run_net
from edgepose.graph.fold import fold_batch_norms
from edgepose.graph.misfit import MisfitError
from edgepose.graph.weights import read_weights
from edgepose.pose.decode import Boxes, decode
from edgepose.pose.preprocess import prepare, read_image
from edgepose.zoo import ModelSpec, RTMDetDecoder, model_spec
from tests.trained_model import trained_model

NANO = model_spec("rtmdet-nano")
SIDE = 64  # nets that are not trained are exported small
Change = Callable[[Any], None]


@pytest.fixture(scope="module")
def trained(shared_data: Path) -> Path:
    return shared_data / "models" / "rtmdet-nano.onnx"


@pytest.fixture(scope="module")
def net(trained: Path) -> nn.Module:
    return create_model("rtmdet-nano", weights=trained)


def changed(source: Path, folder: Path, change: Change) -> Path:
    model = onnx.load(str(source))
    change(model.graph)
    onnx.save(model, str(folder / "changed.onnx"))
    return folder / "changed.onnx"


def small(name: str, **arch: Any) -> ModelSpec:
    spec = model_spec(name)
    assert spec.input is not None
    size = msgspec.structs.replace(spec.input, height=SIDE, width=SIDE)
    return msgspec.structs.replace(spec, input=size, arch=spec.arch | arch)


def exported(net: nn.Module, spec: ModelSpec, path: Path) -> Path:
    """As PyTorch exports it: norms behind convolutions folded, nothing put in another order."""
    assert spec.input is not None
    image = torch.zeros(1, 3, spec.input.height, spec.input.width)
    torch.onnx.export(net, (image,), str(path), dynamo=False, opset_version=13)
    return path


def strip_names(graph: Any) -> None:
    """As exporters before PyTorch 1.13 named their nodes."""
    for index, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{index}"


def test_the_trained_detector_finds_what_its_onnx_file_finds(
    shared_data: Path, net: nn.Module
) -> None:
    spec, run = trained_model(shared_data, "rtmdet-nano")
    assert spec.input is not None and isinstance(spec.decoder, RTMDetDecoder)
    paths = sorted((shared_data / "images").glob("*.jpg"))
    assert len(paths) == 4
    detections = 0
    for path in paths:
        tensor, _ = prepare(read_image(path), spec.input)
        theirs = decode(spec, dict(zip(spec.outputs, run(tensor), strict=True)))
        (outputs,) = run_net(net, NANO, [tensor])
        as_described = RTMDetDecoder(score_threshold=spec.decoder.score_threshold)
        ours = decode(_with(NANO, spec, as_described), outputs)
        assert isinstance(ours, Boxes) and isinstance(theirs, Boxes)
        np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=0.01)  # input pixels
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-4)
        detections += len(ours.boxes)
    assert detections == 15


def _with(zoo: ModelSpec, described: ModelSpec, decoder: RTMDetDecoder) -> ModelSpec:
    return msgspec.structs.replace(zoo, input=described.input, decoder=decoder)


def test_the_folded_norms_only_add_the_bias(trained: Path, net: nn.Module) -> None:
    values = torch.randn(1, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    conv_norm = net.backbone.stem[0]
    graph = onnx.load(str(trained)).graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    _, weight, bias = graph.node[0].input
    assert np.array_equal(conv_norm.conv.weight.detach(), arrays[weight])
    expected = values + torch.from_numpy(arrays[bias].copy()).view(1, 8, 1, 1)
    with torch.no_grad():
        assert (conv_norm.bn(values) - expected).abs().max() <= torch.finfo(torch.float32).eps * 8


def test_every_key_of_the_net_is_filled_in_its_order(trained: Path) -> None:
    net = build_net(NANO)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    state = read_weights(trained, net, NANO)
    assert list(state) == list(before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_an_export_without_names_is_read_in_the_order_of_execution(
    tmp_path: Path, net: nn.Module
) -> None:
    spec = small("rtmdet-nano")
    path = exported(net, spec, tmp_path / "net.onnx")
    again = create_model(spec, weights=changed(path, tmp_path, strip_names))
    image = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for ours, theirs in zip(again(image), net(image), strict=True):
            assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def halve_a_stride(graph: Any) -> None:
    (stride,) = (t for t in graph.initializer if t.name == "/model/Constant_1_output_0")
    stride.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(stride) / 2, stride.name))


def test_a_file_that_computes_something_else_is_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not compute what the file computes") as caught:
        create_model("rtmdet-nano", weights=changed(trained, tmp_path, halve_a_stride))
    assert caught.value.hint


def test_a_file_without_names_and_in_another_order_is_refused(
    trained: Path, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match="neither by name nor in order"):
        create_model("rtmdet-nano", weights=changed(trained, tmp_path, strip_names))


def test_another_net_s_file_is_refused(trained: Path) -> None:
    with pytest.raises(WeightsError, match="to the 119 of litepose-xs"):
        create_model("litepose-xs", weights=trained)


def test_norms_folded_into_a_sum_cannot_be_undone(tmp_path: Path) -> None:
    spec = small("litepose-xs", stage_blocks=[1, 1, 1, 1])
    model = onnx.load(str(exported(create_model(spec), spec, tmp_path / "net.onnx")))
    assert fold_batch_norms(model)
    onnx.save(model, str(tmp_path / "net.onnx"))
    with pytest.raises(WeightsError, match=r"has a bias in deconv_\w+\.\d, where the net"):
        create_model(spec, weights=tmp_path / "net.onnx")


def test_weights_that_no_convolution_holds_are_named_as_missing(tmp_path: Path) -> None:
    spec = small("rtmpose-t", input_height=SIDE, input_width=SIDE)
    path = exported(create_model(spec), spec, tmp_path / "net.onnx")
    with pytest.raises(MisfitError) as caught:
        create_model(spec, weights=path)
    missing = caught.value.misfit.missing
    assert missing and all(name.startswith("head.") for name in missing)


@pytest.mark.parametrize("content", [None, b"", b"not ONNX"])
def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "net.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=str(path)):
        create_model("rtmdet-nano", weights=path)
