"""RTMPose's table against the original code and the paper, and what its own nets promise."""

import json
from importlib import import_module
from pathlib import Path

import pytest
import torch

from edgepose.graph.inspect import count_by_rule, count_parameters
from edgepose.zoo import family_of, model_spec, zoo
from models_src.layers.heatmap_head import HeatmapHead
from models_src.rtmpose.net import rtmpose
from models_src.rtmpose.simcc import SimCCHead, simcc_resnet

NAMES = [name for name, spec in zoo().items() if spec.family == "rtmpose"]

# model -> entry of counts_rtmpose.json or counts_rtmdet_x.json
COUNTS = {
    "rtmpose-t": "rtmpose-t",
    "rtmpose-s": "rtmpose-s",
    "rtmpose-m": "rtmpose-m",
    "rtmpose-l": "rtmpose-l",
    "rtmpose-m-384x288": "rtmpose-m-384",
    "rtmpose-l-384x288": "rtmpose-l-384",
    "rtmpose-x-384x288": "rtmpose-x_8xb256-700e_coco-384x288.py",
    "rtmpose-m-crowdpose": "rtmpose-m_8xb64-210e_crowdpose-256x192.py",
    "rtmpose-m-mpii": "rtmpose-m_8xb64-210e_mpii-256x256.py",
    "rtmpose-m-wholebody": "rtmpose-m_8xb64-270e_coco-wholebody-256x192.py",
    "rtmpose-l-wholebody": "rtmpose-l_8xb64-270e_coco-wholebody-256x192.py",
    "rtmpose-l-wholebody-384x288": "rtmpose-l_8xb32-270e_coco-wholebody-384x288.py",
    "rtmpose-x-wholebody-384x288": "rtmpose-x_8xb32-270e_coco-wholebody-384x288.py",
}

# model -> the net with 17 key points whose GFLOPs the paper prints for it
COPIED = {"rtmpose-m-crowdpose": "rtmpose-m", "rtmpose-m-mpii": "rtmpose-m-ap10k"}


def printed(figure: float) -> int:
    """Digits after the decimal point of a figure as a paper prints it."""
    return len(str(figure).partition(".")[2])


def shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of a model's state dict."""
    spec = model_spec(name)
    module, function = spec.builder.split(":")
    with torch.device("meta"):
        net = getattr(import_module(module), function)(**spec.arch)
    return {key: tuple(value.shape) for key, value in net.state_dict().items()}


@pytest.mark.parametrize("name", COUNTS)
def test_table_has_the_parameters_and_macs_of_the_original_code(reference: Path, name: str) -> None:
    counts = json.loads((reference / "counts_rtmpose.json").read_text())
    counts |= json.loads((reference / "counts_rtmdet_x.json").read_text())
    expected = counts[COUNTS[name]]
    assert model_spec(name).parameters == expected["params"]
    assert model_spec(name).macs == expected["flopcounter_macs"]


@pytest.mark.parametrize("name", NAMES)
def test_published_sizes_come_out_to_every_printed_digit(name: str) -> None:
    spec = model_spec(name)
    assert spec.parameters is not None
    if published := spec.published.parameters_m:
        assert round(spec.parameters / 1e6, printed(published)) == published
    if spec.paper_macs and (published := spec.published.gmacs):
        same = round(spec.paper_macs / 1e9, printed(published)) == published
        assert same is (name not in COPIED)


def test_copied_figures_are_those_of_the_nets_they_were_copied_from() -> None:
    for name, source in COPIED.items():
        copy, original = model_spec(name), model_spec(source)
        assert copy.input == original.input
        assert copy.published.gmacs == original.published.gmacs


# Table 1: parameters and FLOPs of the heads alone on ResNet-50's feature map, as printed.
TABLE_1 = {
    "heatmap": (lambda: HeatmapHead(2048, 17, [256, 256, 256]), 10.492, 1.425),
    "simcc": (lambda: simcc_head([256, 256, 256]), 13.245, 1.472),
    "simcc*": (lambda: simcc_head([]), 0.079, 0.002),
}


def simcc_head(deconv_channels: list[int]) -> SimCCHead:
    return SimCCHead(2048, 17, 8, 6, 384, 512, deconv_channels=deconv_channels)


@pytest.mark.parametrize("head", TABLE_1)
def test_heads_of_table_1_cost_what_it_prints(head: str) -> None:
    make, parameters, gflops = TABLE_1[head]
    rule = family_of(model_spec("rtmpose-t")).counting
    assert rule is not None
    with torch.device("meta"):
        net = make()
    assert round(count_parameters(net) / 1e6, 3) == parameters
    assert round(count_by_rule(net, (torch.empty(1, 2048, 8, 6),), rule) / 1e9, 3) == gflops


def test_simcc_heads_have_the_names_of_the_original_code() -> None:
    with torch.device("meta"):
        with_deconv = list(simcc_head([256, 256, 256]).state_dict())
        without = list(simcc_head([]).state_dict())
    linear = [f"mlp_head_{axis}.{what}" for axis in "xy" for what in ("weight", "bias")]
    assert without == ["final_layer.weight", "final_layer.bias", *linear]
    assert with_deconv[0] == "deconv_head.deconv_layers.0.weight"
    assert "deconv_head.deconv_layers.7.running_var" in with_deconv
    assert with_deconv[-6:] == [
        "deconv_head.final_layer.weight",
        "deconv_head.final_layer.bias",
        *linear,
    ]


def test_simcc_head_reads_the_maps_row_by_row() -> None:
    head = SimCCHead(1, 1, 3, 4, 8, 6, deconv_channels=[]).eval()
    feature = torch.zeros(1, 1, 3, 4)
    feature[0, 0, 2, 1] = 1.0
    torch.nn.init.ones_(head.final_layer.weight)
    with torch.no_grad():
        simcc_x, simcc_y = head(feature)
    torch.testing.assert_close(simcc_x[0, 0], head.mlp_head_x.weight[:, 2 * 4 + 1])
    torch.testing.assert_close(simcc_y[0, 0], head.mlp_head_y.weight[:, 2 * 4 + 1])


def test_simcc_on_a_resnet_has_two_bins_per_pixel_of_each_axis() -> None:
    with torch.device("meta"):
        net = simcc_resnet([1, 1, 1, 1], 64, 96, keypoints=5, deconv_channels=[16]).eval()
        simcc_x, simcc_y = net(torch.empty(2, 3, 64, 96))
    assert simcc_x.shape == (2, 5, 192)
    assert simcc_y.shape == (2, 5, 128)


def test_resnet_has_the_names_and_shapes_of_resnet_50() -> None:
    keys = {key: shape for key, shape in shapes("simcc-r50").items() if "backbone" in key}
    assert next(iter(keys)) == "backbone.conv1.weight"
    assert keys["backbone.layer1.0.downsample.0.weight"] == (256, 64, 1, 1)
    assert keys["backbone.layer3.5.conv2.weight"] == (256, 256, 3, 3)
    assert keys["backbone.layer4.2.bn3.running_mean"] == (2048,)
    assert len(keys) == 53 * 6  # convolutions, each with the five tensors of its norm


@pytest.mark.parametrize("size", ["t", "s", "m", "l"])
@pytest.mark.parametrize("dataset", ["", "-aic-coco"])
def test_a_pretrained_backbone_is_the_one_of_its_rtmpose(size: str, dataset: str) -> None:
    def backbone(name: str) -> dict[str, tuple[int, ...]]:
        return {key: shape for key, shape in shapes(name).items() if key.startswith("backbone.")}

    assert backbone(f"rtmpose-{size}-pretrain{dataset}") == backbone(f"rtmpose-{size}")


def test_pretraining_gives_a_heatmap_of_a_quarter_of_the_input(build) -> None:
    with torch.inference_mode():
        heatmaps = build("rtmpose-t-pretrain-aic-coco")(torch.zeros(1, 3, 64, 96))
    assert heatmaps.shape == (1, 19, 16, 24)


@pytest.mark.parametrize("kernel", [1, 3, 5, 9])
def test_kernels_of_table_2_differ_in_one_convolution_only(kernel: int) -> None:
    ours, published = shapes(f"rtmpose-m-kernel{kernel}"), shapes("rtmpose-m")
    changed = {key for key in published if ours[key] != published[key]}
    assert (list(ours), changed) == (list(published), {"head.final_layer.weight"})
    assert ours["head.final_layer.weight"] == (17, 768, kernel, kernel)


def test_without_attention_the_head_is_the_same_but_for_the_unit() -> None:
    before, after = shapes("rtmpose-m-no-attention"), shapes("rtmpose-m-kernel1")
    assert before == {key: shape for key, shape in after.items() if "head.gau." not in key}
    assert len(after) > len(before)


def test_attention_can_be_left_out_of_any_size() -> None:
    net = rtmpose(0.375, 0.167, 64, 96, keypoints=5, attention=False).eval()
    with torch.inference_mode():
        simcc_x, simcc_y = net(torch.zeros(2, 3, 64, 96))
    assert simcc_x.shape == (2, 5, 192)
    assert simcc_y.shape == (2, 5, 128)
