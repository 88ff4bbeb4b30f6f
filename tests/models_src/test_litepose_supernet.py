"""The supernet holds its sub-networks as the original code's does."""

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgepose.zoo import list_models, model_spec
from models_src.litepose.net import LitePose, litepose
from models_src.litepose.supernet import (
    extract,
    reorder_channels,
    sample_arch,
    shared_weights,
    supernet,
)

FULL = model_spec("litepose-super-crowdpose").arch
# name in litepose-super.npz -> the model whose numbers it is
SUB_NETWORKS = {
    "search-XS": "litepose-xs-crowdpose",
    "search-S": "litepose-s-crowdpose",
    "prune-S": "litepose-prune-s-crowdpose",
    "full": "litepose-prune-l-crowdpose",
}
PARTS = [
    name
    for name in list_models()
    if name.endswith("-crowdpose")
    and model_spec(name).family == "litepose"
    and model_spec(name).arch.get("kernel_size") == 7
]

SMALL_FULL = {
    "stem_channels": 16,
    "stage_channels": [16, 24, 32, 40],
    "stage_blocks": [2, 3, 2, 2],
    "deconv_channels": [24, 16, 16],
    "keypoints": 3,
}
SMALL_PART = {
    "stem_channels": 8,
    "stage_channels": [16, 16, 24, 32],
    "stage_blocks": [2, 2, 1, 2],
    "deconv_channels": [16, 8, 8],
    "keypoints": 3,
}


def small_supernet() -> LitePose:
    """Random in everything, statistics included."""
    torch.manual_seed(0)
    net = supernet(**SMALL_FULL).eval()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias)
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    return net


@pytest.fixture
def original(reference: Path) -> dict[str, Tensor]:
    """The random weights with which the original supernet was run."""
    state = torch.load(reference / "litepose-super_fp16.pth", weights_only=True)
    return {
        name: value.float() if value.is_floating_point() else value for name, value in state.items()
    }


def assert_computes(net: LitePose, reference: Path, name: str) -> None:
    """Up to rounding: random weights amplify it, float32 is 1e-5 of the range off float64."""
    with np.load(reference / "litepose-super.npz", allow_pickle=False) as data:
        with torch.inference_mode():
            outputs = net(torch.from_numpy(data["input"]))
        compared = 0
        for index, output in enumerate(outputs):
            if f"{name}_out{index}" in data:
                wanted = data[f"{name}_out{index}"]
                assert abs(output.numpy() - wanted).max() < 1e-4 * abs(wanted).max()
                compared += 1
        assert compared


def test_supernet_has_the_keys_and_shapes_of_the_original_in_order(build, reference):
    lines = (reference / "litepose-super.keys.txt").read_text().splitlines()
    state = build("litepose-super-crowdpose").state_dict()
    assert [f"{key}\t{tuple(value.shape)}" for key, value in state.items()] == lines


def test_supernet_computes_the_full_net(build, reference, original):
    net = build("litepose-super-crowdpose")
    net.load_state_dict(original)
    assert_computes(net, reference, "full")


@pytest.mark.parametrize(("name", "model"), SUB_NETWORKS.items())
def test_extracted_net_computes_what_the_original_supernet_computes(
    build, reference, original, name, model
):
    net = build("litepose-super-crowdpose")
    net.load_state_dict(original)
    assert_computes(extract(net, model_spec(model).arch), reference, name)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("full_reorg", "litepose-prune-l-crowdpose"),
        ("reorg_search-XS", "litepose-xs-crowdpose"),
    ],
)
def test_channels_get_the_order_of_the_original(build, reference, original, name, model):
    net = build("litepose-super-crowdpose")
    net.load_state_dict(original)
    reorder_channels(net)
    # The original reorders all but the running statistics, which is the one thing we do besides.
    left_behind = {key: value for key, value in original.items() if "running" in key}
    net.load_state_dict(left_behind, strict=False)
    assert_computes(extract(net, model_spec(model).arch), reference, name)


def test_reordering_keeps_the_backbone_the_same_function():
    net = small_supernet().double()
    backbone = nn.Sequential(net.first, *net.stage)
    image = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    with torch.inference_mode():
        before = backbone(image)
        x0 = net.first(image)
        reorder_channels(net)
        assert not torch.equal(net.first(image), x0)
        torch.testing.assert_close(backbone(image), before)


def test_reordering_puts_the_heaviest_channels_first():
    net = small_supernet()
    reorder_channels(net)
    for stage in net.stage:
        weight = stage[0].inv[0].weight.detach().abs().sum(dim=(0, 2, 3))
        assert torch.equal(weight, weight.sort(descending=True).values)


@pytest.mark.parametrize("name", PARTS)
def test_every_published_net_is_a_part_of_the_supernet(name):
    with torch.device("meta"):
        net = supernet(**FULL)
    arch = model_spec(name).arch
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in litepose(**arch).state_dict().items()}
    assert {key: value.shape for key, value in shared_weights(net, arch).items()} == shapes


def test_extracted_net_owns_its_weights_and_statistics():
    net = small_supernet()
    part = extract(net, SMALL_PART)
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before = part(image)
        for tensor in net.state_dict().values():
            tensor.zero_()
        for output, wanted in zip(part(image), before, strict=True):
            assert torch.equal(output, wanted)


def test_sub_network_on_shared_weights_trains_the_first_channels_of_the_supernet():
    net = small_supernet().train()
    read, norm = net.stage[2][0].inv[:2]
    old = norm.running_mean.clone()
    part = extract(net, SMALL_PART)
    image = torch.randn(2, 3, 32, 32)

    out0, out1 = torch.func.functional_call(part, shared_weights(net, SMALL_PART), (image,))
    (out0.square().mean() + out1.square().mean()).backward()

    # Of 24 channels, 16 reach this block, which makes 96 of 144 hidden ones of them.
    assert (read.weight.grad[:96, :16].abs().sum(dim=0) > 0).all()
    assert not read.weight.grad[96:].any()
    assert not read.weight.grad[:, 16:].any()
    assert net.stage[1][2].inv[0].weight.grad is None  # a block that this sub-network lacks
    assert not (norm.running_mean[:96] == old[:96]).any()
    assert torch.equal(norm.running_mean[96:], old[96:])

    # The sub-network's own copy sees the same image and comes to the same statistics.
    for output, wanted in zip((out0, out1), part(image), strict=True):
        torch.testing.assert_close(output, wanted)
    torch.testing.assert_close(norm.running_mean[:96], part.stage[2][0].inv[1].running_mean)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"stem_channels": 24}, r"does not hold first\.2\.weight"),
        ({"deconv_channels": [16, 8, 24]}, r"does not hold deconv_refined\.2\.weight"),
        ({"stage_blocks": [2, 4, 1, 2]}, r"does not hold stage\.1\.3\."),
        ({"kernel_size": 5}, r"does not hold stage\.0\.0\.depth_conv\.0\.weight \[48, 1, 5, 5\]"),
        ({"keypoints": 2}, "has 3 key points, not 2"),
        ({"stage_channels": [16, 16, 32, 32]}, r"stage\.3\.0 has a residual"),
    ],
)
def test_what_the_supernet_does_not_hold_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        extract(small_supernet(), {**SMALL_PART, **changed})


def test_the_original_s_seed_gives_the_original_s_sub_networks(reference):
    samples = json.loads((reference / "litepose-super-random_samples_seed5.json").read_text())
    # The published nets are deeper than those that the original's sampler trains.
    full = {**FULL, "stage_blocks": [4, 6, 8, 8]}
    rng = Random(5)
    for sample in samples:
        assert rng.choice((256, 320, 384, 448, 512)) == sample["img_size"]
        assert sample_arch(rng, full) == {
            "stem_channels": sample["input_channel"],
            "stage_channels": [stage["channel"] for stage in sample["backbone_setting"]],
            "stage_blocks": [stage["num_blocks"] for stage in sample["backbone_setting"]],
            "deconv_channels": sample["deconv_setting"],
            "keypoints": 14,
        }


def test_every_sample_is_a_part_of_the_supernet():
    with torch.device("meta"):
        net = supernet(**FULL)
    rng = Random(0)
    for _ in range(5):
        arch = sample_arch(rng, FULL)
        assert shared_weights(net, arch)["first.2.weight"].shape[0] == arch["stem_channels"]


def test_samples_keep_to_the_ratios_they_are_given():
    rng = Random(0)
    samples = [sample_arch(rng, FULL, ratios=(1.0, 0.5)) for _ in range(40)]
    assert {arch["stem_channels"] for arch in samples} == {16, 24}
    assert {arch["stage_channels"][3] for arch in samples} == {80, 160}
