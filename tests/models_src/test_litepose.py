"""LitePose's sizes and ablations are those of the paper and of the original code."""

import json
from functools import partial

import onnx
import pytest
import torch
from torch import nn

from edgepose.graph.inspect import count_macs, count_parameters
from edgepose.zoo import model_spec
from models_src.litepose.net import litepose
from models_src.litepose.supernet import supernet

# model -> its name in counts_litepose.json without the data set
SIZES = {
    "litepose-xs": "search-XS",
    "litepose-s": "search-S",
    "litepose-m": "search-M",
    "litepose-l": "search-L",
    "litepose-prune-s": "prune-S",
    "litepose-prune-m": "prune-M",
    "litepose-prune-l": "prune-L",
}
COUNTED = {
    f"{name}{suffix}": f"{dataset}/{size}.json"
    for name, size in SIZES.items()
    for suffix, dataset in (("", "coco"), ("-crowdpose", "crowd_pose"))
}
# Tables 1 to 3; the figures of M and L stand in the original's README only.
IN_THE_PAPER = [
    "litepose-xs",
    "litepose-xs-crowdpose",
    "litepose-s",
    "litepose-s-crowdpose",
    "litepose-prune-s-crowdpose",
    "litepose-prune-s-k3-crowdpose",
    "litepose-prune-s-k5-crowdpose",
    "litepose-prune-s-nofusion-crowdpose",
]
SMALL = {
    "stem_channels": 8,
    "stage_channels": [8, 16, 16, 24],
    "stage_blocks": [1, 2, 1, 1],
    "deconv_channels": [8, 16, 8],
}
PLAIN_OPERATORS = {"Conv", "ConvTranspose", "BatchNormalization", "Relu", "Clip", "Add", "Constant"}


def image_of(name: str) -> torch.Tensor:
    size = model_spec(name).input
    assert size is not None
    return torch.empty(1, 3, size.height, size.width, device="meta")


@pytest.mark.parametrize(("name", "reference_name"), COUNTED.items())
def test_every_size_counts_what_the_original_code_counts(build, reference, name, reference_name):
    expected = json.loads((reference / "counts_litepose.json").read_text())[reference_name]
    with torch.device("meta"):
        net = build(name)
    image = image_of(name)
    assert image.shape[2:] == (expected["img"], expected["img"])
    assert count_parameters(net) == expected["params"]
    assert count_macs(net, (image,)) == expected["flopcounter_macs"]


@pytest.mark.parametrize("name", IN_THE_PAPER)
def test_the_paper_s_figures_are_met_to_the_printed_digit(name):
    spec = model_spec(name)
    assert round((spec.paper_macs or 0) / 1e9, 1) == spec.published.gmacs
    if spec.published.parameters_m is not None:
        assert round((spec.parameters or 0) / 1e6, 1) == spec.published.parameters_m


def test_the_kernel_ablation_differs_in_nothing_but_the_kernel():
    base = model_spec("litepose-prune-s-crowdpose")
    for size in (3, 5, 9):
        spec = model_spec(f"litepose-prune-s-k{size}-crowdpose")
        assert spec.arch == {**base.arch, "kernel_size": size}
        assert spec.input == base.input


def test_without_fusion_the_head_keeps_everything_but_the_raw_branches():
    fused = litepose(**SMALL).state_dict()
    plain = litepose(**SMALL, fusion=False).state_dict()
    assert list(plain) == [name for name in fused if "_raw." not in name]
    assert {name: value.shape for name, value in plain.items()}.items() <= {
        name: value.shape for name, value in fused.items()
    }.items()


def test_fusion_adds_the_earlier_stages_and_nothing_else():
    torch.manual_seed(0)
    fused = litepose(**SMALL).eval()
    plain = litepose(**SMALL, fusion=False).eval()
    plain.load_state_dict(
        {name: value for name, value in fused.state_dict().items() if "_raw." not in name}
    )
    image = torch.randn(1, 3, 32, 64)
    with torch.inference_mode():
        with_stages = fused(image)
        for layers in (fused.deconv_raw, fused.final_raw):
            for parameter in layers.parameters():
                parameter.zero_()
        for ours, silenced, before in zip(plain(image), fused(image), with_stages, strict=True):
            assert torch.equal(ours, silenced)
            assert not torch.allclose(ours, before)


@pytest.mark.parametrize("opset", [11, 13, 17])
@pytest.mark.parametrize(
    "make", [litepose, partial(litepose, fusion=False), supernet], ids=["net", "plain", "super"]
)
def test_graph_holds_convolutions_and_little_else(tmp_path, make, opset):
    net = make(**SMALL).eval()
    for tensor in net.state_dict().values():
        if tensor.is_floating_point():
            nn.init.uniform_(tensor)  # of equal tensors the exporter keeps one and names it twice
    path = tmp_path / "net.onnx"
    torch.onnx.export(net, (torch.zeros(1, 3, 32, 32),), path, dynamo=False, opset_version=opset)
    graph = onnx.load(path).graph
    assert {node.op_type for node in graph.node} <= PLAIN_OPERATORS
    # The supernet's unused transforms are no part of its function.
    assert not [weight.name for weight in graph.initializer if "Linear" in weight.name]
