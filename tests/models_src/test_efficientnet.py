"""The compact EfficientNets: their numbers, their padding, and their service as backbones."""

import math
from dataclasses import asdict

import onnx
import pytest
import torch
from torch import nn

from edgepose.graph.create import create_model
from edgepose.graph.export import export
from edgepose.graph.inspect import count_macs, count_parameters
from edgepose.zoo import model_spec
from models_src.efficientnet.net import efficientnet
from models_src.layers.efficientnet import (
    EfficientNetFeatures,
    PadRightBottom,
    conv_bn_swish,
    drop_connect,
    scale_backbone,
)
from tests.graph.plain_graph import blemishes
from tests.tiny_nets import relative_error, run_unoptimised

PHI = {
    "efficientnet-b0": 0,
    "efficientnet-b-1": -1,
    "efficientnet-b-2": -2,
    "efficientnet-b-3": -3,
    "efficientnet-b-4": -4,
}
BACKBONE_OF = {
    "efficienthrnet-h0": "efficientnet-b0",
    "efficienthrnet-h-1": "efficientnet-b-1",
    "efficienthrnet-h-2": "efficientnet-b-2",
    "efficienthrnet-h-3": "efficientnet-b-3",
    "efficienthrnet-h-4": "efficientnet-b-4",
}
# Table 2 of EfficientHRNet in millions: ImageNet with 1000 classes, CIFAR-100.
PRINTED = {
    "efficientnet-b0": (5.3, 4.1),
    "efficientnet-b-1": (4.5, 3.5),
    "efficientnet-b-2": (3.4, 2.5),
    "efficientnet-b-3": (2.8, 1.9),
    "efficientnet-b-4": (1.3, 1.3),
}


def shaped(name: str, classes: int) -> nn.Module:
    with torch.device("meta"):
        return efficientnet(**{**model_spec(name).arch, "classes": classes}).eval()


@pytest.mark.parametrize(("name", "phi"), PHI.items())
def test_table_holds_the_numbers_that_scaling_makes(name, phi):
    backbone = asdict(scale_backbone(phi))
    lists = {key: list(value) for key, value in backbone.items() if isinstance(value, tuple)}
    assert model_spec(name).arch == {**backbone, **lists, "classes": 1000}


@pytest.mark.parametrize(("name", "phi"), PHI.items())
def test_input_size_follows_the_paper_s_formula_but_for_one_pixel(name, phi):
    one_less = name == "efficientnet-b-4"  # the paper's table prints 128
    assert model_spec(name).input.height == math.ceil(224 * 1.15**phi) - one_less


@pytest.mark.parametrize("name", [name for name in PHI if name != "efficientnet-b-4"])
def test_head_makes_the_parameters_that_the_paper_prints(name):
    assert model_spec(name).published.parameters_m == PRINTED[name][0]
    for classes, printed in zip((1000, 100), PRINTED[name], strict=True):
        # B-2 has 3.46 M and is printed as 3.4: cut off, the others are rounded.
        assert count_parameters(shaped(name, classes)) / 1e6 == pytest.approx(printed, abs=0.065)


def test_printed_parameters_of_the_smallest_are_those_for_cifar_100():
    name = "efficientnet-b-4"
    assert model_spec(name).published.parameters_m == 1.3
    assert round(count_parameters(shaped(name, 100)) / 1e6, 1) == 1.3
    assert round(count_parameters(shaped(name, 1000)) / 1e6, 1) == 2.1


def test_the_baseline_is_efficientnet_b0():
    # 5.3 M and 0.39 G in table 2 of EfficientNet
    net = shaped("efficientnet-b0", 1000)
    assert count_parameters(net) == 5_288_548
    assert round(count_macs(net, (torch.empty(1, 3, 224, 224, device="meta"),)) / 1e9, 2) == 0.39


@pytest.mark.parametrize(("pose", "classifier"), BACKBONE_OF.items())
def test_classifier_is_by_name_a_backbone_of_the_pose_net(build, pose, classifier):
    with torch.device("meta"):
        wanted = {
            key: value.shape
            for key, value in build(pose).state_dict().items()
            if key.startswith("features.")
        }
        given = {key: value.shape for key, value in build(classifier).state_dict().items()}
    assert wanted.items() <= given.items()
    head = len({key.split(".")[1] for key in wanted})  # index of the layer after the blocks
    rest = given.keys() - wanted.keys()
    assert {".".join(key.split(".")[:2]) for key in rest} == {f"features.{head}", "classifier.1"}


def test_pose_net_sees_what_its_classifier_sees(build):
    classifier, pose = create_model("efficientnet-b-4"), build("efficienthrnet-h-4")
    pose.load_state_dict(classifier.state_dict(), strict=False)
    image = torch.randn(2, 3, 96, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        last = classifier.features[:-1](image)
        features = pose.features(image)
    assert torch.equal(features[-1], last)
    assert last.std() > 0.1


def test_padding_has_the_gradient_of_padding():
    x = torch.randn(2, 3, 5, 6, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(PadRightBottom(), (x,))


@pytest.mark.parametrize(("kernel_size", "before", "after"), [(3, 0, 1), (5, 1, 2)])
@pytest.mark.parametrize("side", [15, 16])
def test_stride_2_pads_more_to_the_right_and_to_the_bottom(kernel_size, before, after, side):
    layers = conv_bn_swish(4, 6, kernel_size, stride=2).eval()
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 4, side, side, generator=generator)
    padded = nn.functional.pad(image, (before, after, before, after))
    with torch.inference_mode():
        found = layers[:2](image)
        wanted = nn.functional.conv2d(padded, layers[1].weight, stride=2)
    assert found.shape == (1, 6, side // 2, side // 2)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def test_features_lie_at_strides_4_to_32_of_odd_sizes_too():
    spec = model_spec("efficientnet-b-1")
    numbers = ("stem_channels", "stage_channels", "stage_blocks")
    with torch.device("meta"):
        net = EfficientNetFeatures(**{key: spec.arch[key] for key in numbers}).eval()
        features = net(torch.empty(1, 3, 195, 195))
    assert [tuple(feature.shape[1:]) for feature in features] == [
        (24, 48, 48),
        (40, 24, 24),
        (104, 12, 12),
        (288, 6, 6),
    ]


def test_drop_connect_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    y = drop_connect(torch.ones(10_000, 2, 1, 1), 0.2)
    assert y.unique().tolist() == pytest.approx([0, 1.25])
    assert torch.equal(y[:, 0], y[:, 1])
    assert y.mean().item() == pytest.approx(1, abs=0.02)


def test_drop_connect_is_for_training_only():
    torch.manual_seed(0)
    net = efficientnet(**model_spec("efficientnet-b-4").arch, dropout=0).eval()
    block = next(layer for layer in net.features[1:-1] if layer.residual)
    x = torch.randn(64, block.conv[-1].num_features, 4, 4)
    with torch.no_grad():
        assert torch.equal(block(x), x + block.conv(x))
        block.train()
        unchanged = (block(x) == x).flatten(1).all(dim=1).sum().item()
    assert 4 <= unchanged <= 24  # 20 % of 64 samples pass the block untouched


def test_exported_classifier_is_plain_and_computes_the_same(tmp_path):
    name = "efficientnet-b-3"  # its features have odd sizes: 148, 74, 37, 18, 9, 4
    spec, net, path = model_spec(name), create_model(name), tmp_path / "model.onnx"
    export(net, spec, 17, path)
    model = onnx.load(path)
    assert not blemishes(model, 17)
    assert "Pad" not in {node.op_type for node in model.graph.node}

    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, spec.input.height, spec.input.width, generator=generator)
    with torch.inference_mode():
        logits = net(image).numpy()
    assert logits.std() > 1e-3
    found = run_unoptimised(path, {"input": image.numpy()})
    assert relative_error(logits, found["logits"]) < 1e-4
