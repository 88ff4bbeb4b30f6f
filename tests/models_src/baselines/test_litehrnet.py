"""Lite-HRNet is MMPose's: key names, sums, and sizes that are fixed instead of looked up."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgepose import build, create_model
from edgepose.graph.inspect import count_by_rule, count_parameters
from edgepose.zoo import family_of, model_spec, zoo
from models_src.baselines.litehrnet import net as module
from models_src.baselines.litehrnet.blocks import ChannelShuffle, CrossResolutionWeighting
from models_src.baselines.litehrnet.net import IterativeHead, LiteHighResolutionModule, litehrnet

NAMES = [spec.name for spec in zoo().values() if spec.family == "litehrnet"]
INPUTS = [(256, 192), (384, 288), (256, 256)]


def branches(channels: list[int], height: int, width: int) -> list[Tensor]:
    """Features at strides 4, 8, 16, ... of an image of that size."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(2, count, height >> index + 2, width >> index + 2, generator=generator)
        for index, count in enumerate(channels)
    ]


def with_statistics(net: nn.Module) -> nn.Module:
    """`net` in eval mode, with norms that do something."""
    generator = torch.Generator().manual_seed(1)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.3, generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
    return net.eval()


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_those_that_the_paper_prints(name: str) -> None:
    spec = model_spec(name)
    with torch.device("meta"):
        net = litehrnet(**spec.arch)
    assert round(count_parameters(net) / 1e6, 1) == spec.published.parameters_m


@pytest.mark.parametrize(("name", "keys"), [("litehrnet-18", 1418), ("litehrnet-30", 2360)])
def test_keys_are_mmpose_s(name: str, keys: int) -> None:
    with torch.device("meta"):
        state = litehrnet(**model_spec(name).arch).state_dict()
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    assert len(shapes) == keys
    assert next(iter(shapes)) == "backbone.stem.conv1.conv.weight"
    block = "backbone.stage2.1.layers.0"
    assert {
        "backbone.stem.branch1.1.conv.weight": (16, 16, 1, 1),
        "backbone.stem.expand_conv.bn.running_var": (32,),
        "backbone.transition0.0.2.weight": (40, 32, 1, 1),
        "backbone.transition1.2.0.2.weight": (160, 80, 1, 1),
        f"{block}.cross_resolution_weighting.conv1.conv.weight": (37, 300, 1, 1),
        f"{block}.cross_resolution_weighting.conv2.bn.weight": (300,),
        f"{block}.depthwise_convs.3.conv.weight": (160, 1, 3, 3),
        f"{block}.spatial_weighting.0.conv1.conv.bias": (5,),
        "backbone.stage2.0.fuse_layers.3.0.2.2.weight": (320, 40, 1, 1),
        "backbone.stage2.0.fuse_layers.0.3.0.weight": (40, 320, 1, 1),
        "backbone.head_layer.projects.0.pointwise_conv.conv.weight": (160, 320, 1, 1),
        "head.final_layer.weight": (17, 40, 1, 1),
    }.items() <= shapes.items()


@pytest.mark.parametrize(("height", "width"), INPUTS)
def test_gates_are_those_of_adaptive_pooling_and_resizing(height: int, width: int) -> None:
    features = branches([4, 8, 16, 32], height, width)
    weighting = with_statistics(CrossResolutionWeighting([4, 8, 16, 32], 8))
    smallest = features[-1].shape[-2:]
    pooled = [functional.adaptive_avg_pool2d(x, smallest) for x in features]
    with torch.inference_mode():
        gates = weighting.conv2(weighting.conv1(torch.cat(pooled, dim=1)))
        wanted = [
            x * functional.interpolate(gate, size=x.shape[-2:], mode="nearest")
            for x, gate in zip(features, gates.split([4, 8, 16, 32], dim=1), strict=True)
        ]
        found = weighting(features)
    for tensor, expected in zip(found, wanted, strict=True):
        torch.testing.assert_close(tensor, expected)


def test_the_halves_are_shuffled_as_a_grouped_channel_shuffle_does() -> None:
    (x,) = branches([10], 32, 48)
    first, second = x.chunk(2, dim=1)
    found = ChannelShuffle(10, (8, 12))(first, second)
    assert torch.equal(found, functional.channel_shuffle(x, 2))


def test_the_head_enlarges_as_resizing_to_the_next_branch_does() -> None:
    head = with_statistics(IterativeHead([4, 8, 16]))
    large, middle, small = branches([4, 8, 16], 96, 64)
    with torch.inference_mode():
        x = head.projects[0](small)
        for branch, project in zip((middle, large), head.projects[1:], strict=True):
            size = branch.shape[-2:]
            x = project(
                branch + functional.interpolate(x, size=size, mode="bilinear", align_corners=True)
            )
        torch.testing.assert_close(head([large, middle, small]), x)


def test_the_sums_are_the_original_s_which_are_made_in_place() -> None:
    channels = [8, 16, 32]
    sizes = [(16, 24), (8, 12), (4, 6)]
    net = with_statistics(LiteHighResolutionModule(channels, sizes, blocks=1, reduction=2))
    features = branches(channels, 64, 96)
    with torch.inference_mode():
        seen = net.layers(features)
        wanted = []
        for target, paths in enumerate(net.fuse_layers):
            # For the first target this is the feature itself, which is then added to.
            total = paths[0](seen[0])
            for source, path in enumerate(paths):
                total += seen[source] if source == target else path(seen[source])
            wanted.append(total.relu())
        found = net(features)
    for tensor, expected in zip(found, wanted, strict=True):
        torch.testing.assert_close(tensor, expected)


@pytest.mark.parametrize(
    ("name", "gmacs"), [("litehrnet-30", 0.42), ("litehrnet-30-384x288", 0.95)]
)
def test_mmcv_counts_what_mmpose_prints_where_a_path_runs_twice(
    monkeypatch: pytest.MonkeyPatch, name: str, gmacs: float
) -> None:
    fuse = module.fuse

    def fuse_twice(paths: nn.ModuleList, features: list[Tensor]) -> Tensor:
        paths[0](features[0])
        return fuse(paths, features)

    monkeypatch.setattr(module, "fuse", fuse_twice)
    spec, mmcv = model_spec(name), family_of(model_spec("simplebaseline-r50")).counting
    assert spec.input is not None
    assert mmcv is not None
    image = torch.empty(1, 3, spec.input.height, spec.input.width, device="meta")
    with torch.device("meta"):
        net = litehrnet(**spec.arch)
    assert round(count_by_rule(net, (image,), mmcv) / 1e9, 2) == gmacs


def test_a_checkpoint_of_mmpose_before_1_0_is_imported(tmp_path: Path) -> None:
    torch.manual_seed(7)
    arch = model_spec("litehrnet-18").arch
    trained = with_statistics(litehrnet(**arch))
    state = {
        key.replace("head.final_layer", "keypoint_head.final_layer"): value
        for key, value in trained.state_dict().items()
    }
    torch.save({"meta": {"epoch": 210}, "state_dict": state}, tmp_path / "litehrnet.pth")

    imported = create_model("litehrnet-18", tmp_path / "litehrnet.pth").state_dict()
    assert "keypoint_head.final_layer.weight" in state
    assert all(torch.equal(imported[key], value) for key, value in trained.state_dict().items())


def test_ncnn_shuffles_channels_by_a_layer_of_its_own(tmp_path: Path) -> None:
    # The exported graph shuffles through five dimensions, which ncnn does not have.
    build("litehrnet-18", recipe="ncnn-fp32", into=tmp_path / "bundle")  # raises if not proven
    layers = (tmp_path / "bundle" / "model.ncnn.param").read_text().splitlines()[2:]
    types = [layer.split()[0] for layer in layers]
    shuffles = sum(isinstance(part, ChannelShuffle) for part in litehrnet((2, 4, 2)).modules())
    assert types.count("ShuffleChannel") == shuffles
    assert not {"Reshape", "Permute"} & set(types)


def test_an_input_whose_branches_are_not_halves_of_each_other_is_refused() -> None:
    with pytest.raises(ValueError, match="272x192"):
        litehrnet((1, 1, 1), input_height=272)
