"""HRNet, top-down: the original's keys and figures, and a plain graph."""

import msgspec
import onnx
import pytest
import torch
from torch import nn

from edgepose.graph.create import create_model
from edgepose.graph.export import export
from edgepose.graph.weights import fit
from edgepose.zoo import family_of, list_models, model_spec
from tests.graph.plain_graph import blemishes
from tests.tiny_nets import normal, relative_error, run_unoptimised

ALL = [name for name in list_models() if model_spec(name).family == "hrnet"]
# What MMPose's tool prints: GFLOPs, and with how many decimals.
MMPOSE_PRINTS = {
    "hrnet-w32": ("7.7", 1),
    "hrnet-w32-384x288": ("17.33", 2),
    "hrnet-w32-crowdpose": ("7.7", 1),
    "hrnet-w32-mpii": ("10.27", 2),
    "hrnet-w48": ("15.77", 2),
    "hrnet-w48-384x288": ("35.48", 2),
}
# What the paper prints (table 1): millions of parameters, GFLOPs.
PAPER_PRINTS = {
    "hrnet-w32": ("28.5", "7.1"),
    "hrnet-w32-384x288": ("28.5", "16.0"),
    "hrnet-w48": ("63.6", "14.6"),
    "hrnet-w48-384x288": ("63.6", "32.9"),
}
OPSET = 11  # the oldest that we read
KEYS = 1754  # of the original code's state dict, for W32 and W48
# Keys of the original code with the shapes in W32: one for every kind of layer.
SAMPLES = {
    "conv1.weight": (64, 3, 3, 3),
    "bn2.running_var": (64,),
    "layer1.0.downsample.0.weight": (256, 64, 1, 1),
    "layer1.3.conv3.weight": (256, 64, 1, 1),
    "transition1.0.0.weight": (32, 256, 3, 3),
    "transition1.1.0.0.weight": (64, 256, 3, 3),
    "transition2.2.0.1.bias": (128,),
    "transition3.3.0.0.weight": (256, 128, 3, 3),
    "stage2.0.branches.1.3.bn2.weight": (64,),
    "stage3.3.fuse_layers.0.2.0.weight": (32, 128, 1, 1),
    "stage3.3.fuse_layers.2.0.0.0.weight": (32, 32, 3, 3),
    "stage3.3.fuse_layers.2.0.1.0.weight": (128, 32, 3, 3),
    "stage4.2.fuse_layers.0.3.1.running_mean": (32,),
    "final_layer.bias": (17,),
}


def keys_of_the_original(net: nn.Module) -> dict[str, torch.Tensor]:
    return {
        key.removeprefix("backbone.").removeprefix("head."): tensor
        for key, tensor in net.state_dict().items()
    }


@pytest.mark.parametrize(("name", "printed"), MMPOSE_PRINTS.items())
def test_mmpose_s_rule_gives_the_digits_that_it_prints(name, printed):
    digits, decimals = printed
    assert f"{model_spec(name).paper_macs / 1e9:.{decimals}f}" == digits


@pytest.mark.parametrize(("name", "printed"), PAPER_PRINTS.items())
def test_paper_prints_true_macs_in_units_of_2_to_the_30(name, printed):
    spec = model_spec(name)
    assert (f"{spec.parameters / 1e6:.1f}", f"{spec.macs / 2**30:.1f}") == printed


def test_keys_and_shapes_are_the_original_s(build):
    with torch.device("meta"):
        state = keys_of_the_original(build("hrnet-w32"))
    assert len(state) == KEYS
    assert {key: tuple(state[key].shape) for key in SAMPLES} == SAMPLES
    # Branches that a transition leaves alone and the diagonal of an exchange have no weights.
    absent = ("transition2.0.", "transition3.2.", "stage2.0.fuse_layers.1.1.")
    assert not [key for key in state if key.startswith(absent)]
    # The last module of all feeds the highest resolution only.
    assert not [key for key in state if key.startswith("stage4.2.fuse_layers.1.")]
    assert [key for key in state if key.startswith("stage4.1.fuse_layers.3.")]


@pytest.mark.parametrize(
    ("style", "backbone", "head"),
    [("original", "", ""), ("MMPose 0.x", "backbone.", "keypoint_head.")],
)
def test_checkpoint_of_another_project_is_renamed(build, style, backbone, head):
    net = build("hrnet-w32")
    theirs = {
        (head if key.startswith("final_layer") else backbone) + key: tensor
        for key, tensor in keys_of_the_original(net).items()
    }
    with torch.device("meta"):
        blank = build("hrnet-w32")
    state, misfit = fit(theirs, blank, family_of(model_spec("hrnet-w32")).checkpoint)
    assert not misfit, style
    own = net.state_dict()
    assert list(state) == list(own)
    assert all(torch.equal(state[key], own[key]) for key in own)


@pytest.mark.parametrize("name", ALL)
def test_net_returns_one_heatmap_a_key_point_at_a_quarter_of_the_size(build, name):
    spec = model_spec(name)
    with torch.device("meta"):
        heatmaps = build(name)(torch.empty(1, 3, spec.input.height, spec.input.width))
    assert heatmaps.shape == (1, spec.keypoints, spec.input.height // 4, spec.input.width // 4)


def test_net_of_another_input_size_exports_plainly_and_computes_the_same(tmp_path):
    spec = model_spec("hrnet-w32")
    size = msgspec.structs.replace(spec.input, height=96, width=128)
    spec = msgspec.structs.replace(spec, input=size)
    net = create_model(spec)
    graph = export(net, spec, OPSET, tmp_path / "model.onnx")
    assert not blemishes(onnx.load(graph.path), OPSET)
    image = normal(1, 3, 96, 128)
    with torch.inference_mode():
        wanted = net(torch.from_numpy(image)).numpy()
    found = run_unoptimised(graph.path, {"input": image})["heatmaps"]
    assert wanted.shape == (1, 17, 24, 32)
    assert relative_error(wanted, found) < 1e-4
