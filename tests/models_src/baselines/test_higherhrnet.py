"""HigherHRNet and its gradual shrinking: the originals' keys and figures, and a plain graph."""

import msgspec
import onnx
import pytest
import torch
from torch import nn

from edgepose.graph.create import create_model
from edgepose.graph.export import export
from edgepose.graph.inspect import count_by_rule
from edgepose.graph.weights import fit
from edgepose.zoo import CountingRule, family_of, list_models, model_spec
from models_src.layers.high_resolution import HighResolutionModule
from models_src.layers.residual import BasicBlock
from tests.graph.plain_graph import blemishes
from tests.tiny_nets import normal, relative_error, run_unoptimised

ALL = [name for name in list_models() if model_spec(name).family == "higherhrnet"]
# What LitePose prints (arXiv 2205.01271, section 3.2, tables 1 and 2): GMACs.
LITEPOSE_PRINTS = {
    "higherhrnet-w16-crowdpose": "12.5",
    "higherhrnet-w16-shrink1-crowdpose": "10.1",
    "higherhrnet-w18-shrink2-crowdpose": "10.0",
    "higherhrnet-w18-shrink3-crowdpose": "9.2",
    "higherhrnet-w24-crowdpose": "25.3",
    "higherhrnet-w48-crowdpose": "154.6",
    "higherhrnet-w48": "155.1",
}
# What HigherHRNet prints (arXiv 1908.10357, table 2): GFLOPs.
PAPER_PRINTS = {
    "higherhrnet-w32": "47.9",
    "higherhrnet-w32-640x640": "74.8",
    "higherhrnet-w48": "154.3",
}
PARAMETERS = {
    "higherhrnet-w16-crowdpose": "7.2",
    "higherhrnet-w32": "28.6",
    "higherhrnet-w48": "63.8",
    "higherhrnet-w48-crowdpose": "63.8",
}
# Entries of the state dict of the original code, and of LitePose's for the shrunk nets.
KEYS = {
    "higherhrnet-w16-crowdpose": 1762,
    "higherhrnet-w16-shrink1-crowdpose": 1390,
    "higherhrnet-w18-shrink3-crowdpose": 1006,
    "higherhrnet-w32": 1810,
    "higherhrnet-w48-crowdpose": 1810,
}
# Keys of the head with the shapes in W32 for COCO; those of the backbone are HRNet's.
HEAD_SAMPLES = {
    "final_layers.0.weight": (34, 32, 1, 1),
    "final_layers.1.bias": (17,),
    "deconv_layers.0.0.0.weight": (66, 32, 4, 4),
    "deconv_layers.0.0.1.running_mean": (32,),
    "deconv_layers.0.1.0.conv1.weight": (32, 32, 3, 3),
    "deconv_layers.0.4.0.bn2.weight": (32,),
}
# LitePose, section 3.2: blocks of every branch of stages 2 to 4 before each exchange.
SHRINKING = {
    "higherhrnet-w16-crowdpose": [[4, 4], [4, 4, 4], [4, 4, 4, 4]],
    "higherhrnet-w16-shrink1-crowdpose": [[3, 4], [2, 3, 4], [1, 2, 3, 4]],
    "higherhrnet-w18-shrink2-crowdpose": [[1, 4], [1, 1, 4], [1, 1, 1, 4]],
    "higherhrnet-w18-shrink3-crowdpose": [[0, 4], [0, 0, 4], [0, 0, 0, 4]],
}
OPSET = 11  # the oldest that we read
CONVOLUTIONS_ONLY = CountingRule(tool="HigherHRNet's own", deconvolution="output")


@pytest.fixture
def shaped(build):
    """A function from a model's name to its net without weights."""

    def make(name: str) -> nn.Module:
        with torch.device("meta"):
            return build(name)

    return make


@pytest.mark.parametrize(("name", "printed"), LITEPOSE_PRINTS.items())
def test_one_rule_gives_the_macs_that_litepose_prints(name, printed):
    by_the_tool = round(model_spec(name).paper_macs / 1e9, 2)  # the decimals that it prints
    assert by_the_tool == pytest.approx(float(printed), abs=0.05 + 1e-9)


@pytest.mark.parametrize(("name", "printed"), PAPER_PRINTS.items())
def test_convolutions_alone_give_the_gflops_that_the_paper_prints(shaped, name, printed):
    spec = model_spec(name)
    image = torch.empty(1, 3, spec.input.height, spec.input.width, device="meta")
    assert f"{count_by_rule(shaped(name), (image,), CONVOLUTIONS_ONLY) / 1e9:.1f}" == printed


@pytest.mark.parametrize(("name", "printed"), PARAMETERS.items())
def test_parameters_are_those_that_the_papers_print(name, printed):
    assert f"{model_spec(name).parameters / 1e6:.1f}" == printed


def test_w24_is_larger_than_litepose_prints_and_says_so():
    spec = model_spec("higherhrnet-w24-crowdpose")
    assert spec.published.parameters_m == 14.9
    assert f"{spec.parameters / 1e6:.1f}" == "16.1"
    assert "16.1 M" in spec.published.notes[0]


@pytest.mark.parametrize(("name", "number"), KEYS.items())
def test_net_has_as_many_keys_as_the_original(shaped, name, number):
    assert len(shaped(name).state_dict()) == number


def test_keys_and_shapes_of_the_head_are_the_original_s(shaped):
    state = shaped("higherhrnet-w32").state_dict()
    assert {key: tuple(state[key].shape) for key in HEAD_SAMPLES} == HEAD_SAMPLES
    parts = list(dict.fromkeys(key.split(".")[0] for key in state))
    assert parts == [
        *("conv1", "bn1", "conv2", "bn2", "layer1"),
        *("transition1", "stage2", "transition2", "stage3", "transition3", "stage4"),
        *("final_layers", "deconv_layers"),
    ]


def test_checkpoint_of_mmpose_is_renamed(build, shaped):
    name = "higherhrnet-w16"
    own = build(name).state_dict()
    head = ("final_layers.", "deconv_layers.")
    theirs = {
        ("keypoint_head." if key.startswith(head) else "backbone.") + key: tensor
        for key, tensor in own.items()
    }
    state, misfit = fit(theirs, shaped(name), family_of(model_spec(name)).checkpoint)
    assert not misfit
    assert list(state) == list(own)
    assert all(torch.equal(state[key], own[key]) for key in own)


def test_checkpoint_of_half_precision_training_loses_its_wrapper(build, shaped):
    name = "higherhrnet-w16"
    theirs = {f"1.{key}": tensor for key, tensor in build(name).half().state_dict().items()}
    state, misfit = fit(theirs, shaped(name), family_of(model_spec(name)).checkpoint)
    assert not misfit
    assert state["final_layers.0.weight"].dtype == torch.float32


@pytest.mark.parametrize(("name", "depths"), SHRINKING.items())
def test_branches_are_as_deep_as_gradual_shrinking_says(shaped, name, depths):
    net = shaped(name)
    assert len(net.layer1) == 4
    for stage, expected in zip((net.stage2, net.stage3, net.stage4), depths, strict=True):
        for module in stage:
            assert isinstance(module, HighResolutionModule)
            found = [
                sum(isinstance(layer, BasicBlock) for layer in branch) for branch in module.branches
            ]
            assert found == expected


def test_branch_without_blocks_is_one_convolution_as_in_litepose_s_code(shaped):
    branch = shaped("higherhrnet-w18-shrink3-crowdpose").stage4[0].branches[2]
    assert [type(layer) for layer in branch] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU6]
    assert tuple(branch[0].weight.shape) == (72, 72, 3, 3)


@pytest.mark.parametrize("name", ALL)
def test_net_returns_heatmaps_and_tags_then_finer_heatmaps(shaped, name):
    k = model_spec(name).keypoints
    out0, out1 = shaped(name)(torch.empty(2, 3, 64, 96, device="meta"))
    assert out0.shape == (2, 2 * k, 16, 24)
    assert out1.shape == (2, k, 32, 48)


@pytest.mark.parametrize("name", ["higherhrnet-w18-shrink3-crowdpose", "higherhrnet-w32"])
def test_net_of_another_input_size_exports_plainly_and_computes_the_same(tmp_path, name):
    spec = model_spec(name)
    size = msgspec.structs.replace(spec.input, height=96, width=128)
    spec = msgspec.structs.replace(spec, input=size)
    net = create_model(spec)
    graph = export(net, spec, OPSET, tmp_path / "model.onnx")
    assert not blemishes(onnx.load(graph.path), OPSET)
    image = normal(1, 3, 96, 128)
    with torch.inference_mode():
        wanted = net(torch.from_numpy(image))
    found = run_unoptimised(graph.path, {"input": image})
    for output, tensor in zip(spec.outputs, wanted, strict=True):
        assert relative_error(tensor.numpy(), found[output]) < 1e-4
