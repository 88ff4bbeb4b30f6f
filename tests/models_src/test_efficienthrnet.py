"""EfficientHRNet is the original's, and its sizes follow from one number."""

import json
import math
from dataclasses import asdict

import numpy as np
import onnx
import pytest
import torch

from edgepose.graph.export import export
from edgepose.graph.inspect import count_macs, count_parameters
from edgepose.zoo import list_models, model_spec
from models_src.efficienthrnet.scaling import compound_scaling
from models_src.layers.channels import round_channels
from models_src.layers.efficientnet import B0, SqueezeExcitation, scale_backbone
from tests.graph.plain_graph import blemishes
from tests.tiny_nets import relative_error, run_unoptimised

PHI = {
    "efficienthrnet-h0": 0,
    "efficienthrnet-h-1": -1,
    "efficienthrnet-h-2": -2,
    "efficienthrnet-h-3": -3,
    "efficienthrnet-h-4": -4,
}
ALL = [name for name in list_models() if model_spec(name).family == "efficienthrnet"]
# phi -> width and depth multiplier as the original's configurations print them
CONFIGURED = {-1: (0.909, 0.833), -2: (0.826, 0.694), -3: (0.751, 0.578), -4: (0.684, 0.483)}
STEM = "efficienthrnet-h-4"


@pytest.fixture(scope="module")
def counts(reference):
    return json.loads((reference / "counts_efficienthrnet.json").read_text())


@pytest.fixture(scope="module")
def h_4(build, reference):
    """The smallest net, with the weights of the reference."""
    net = build(STEM)
    net.load_state_dict(torch.load(reference / f"{STEM}.pth", weights_only=True), strict=True)
    return net


def test_state_dict_has_the_keys_and_shapes_of_the_original_in_order(build, reference):
    lines = (reference / f"{STEM}.keys.txt").read_text().splitlines()
    ours = [f"{key}\t{tuple(value.shape)}" for key, value in build(STEM).state_dict().items()]
    assert ours == lines


def test_net_computes_what_the_original_code_computed(h_4, reference):
    with np.load(reference / f"{STEM}.npz", allow_pickle=False) as data:
        with torch.inference_mode():
            out0, out1 = h_4(torch.from_numpy(data["input"]))
        np.testing.assert_allclose(out0.numpy(), data["out0"], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(out1.numpy(), data["out1"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "phi"), PHI.items())
def test_every_size_counts_what_the_original_code_counts(build, counts, name, phi):
    spec, expected = model_spec(name), counts[f"H{phi}"]
    with torch.device("meta"):
        net = build(name)
        image = torch.empty(1, 3, spec.input.height, spec.input.width)
    assert count_parameters(net) == expected["params"]
    assert count_parameters(net.features) == expected["backbone"]
    assert count_macs(net, (image,)) == expected["flopcounter_macs"]
    assert spec.paper_macs == expected["macs_deconv_at_output"]


def test_untrained_net_starts_as_the_original_does(build):
    torch.manual_seed(0)
    net = build(STEM)
    for part in (net.trans3_branch4, net.stage4, net.deconv_layers):
        weights = [value.flatten() for value in part.parameters() if value.ndim == 4]
        assert torch.cat(weights).std().item() == pytest.approx(0.001, rel=0.05)
    assert not net.trans3_branch4[0].bias.any()
    last = net.features[-1].conv[-2].weight  # 1 x 1: fan-out is the output channels
    assert last.std().item() == pytest.approx(math.sqrt(2 / last.shape[0]), rel=0.05)


@pytest.mark.parametrize(("name", "phi"), PHI.items())
def test_backbone_has_the_original_s_blocks_and_taps(build, counts, name, phi):
    expected = counts[f"H{phi}"]
    with torch.device("meta"):
        features = build(name).features
    stem, *blocks = features
    found = [[0, stem[1].out_channels, None]]
    found += [
        [index, block.conv[-1].num_features, block.residual]
        for index, block in enumerate(blocks, start=1)
    ]
    assert found == expected["features"]
    assert list(features.out_channels) == expected["trans_in"]


@pytest.mark.parametrize("name", ALL)
def test_table_holds_the_numbers_that_compound_scaling_makes(name):
    spec = model_spec(name)
    row = compound_scaling(PHI[name.removesuffix("-crowdpose")])
    backbone = asdict(row.backbone)
    del backbone["head_channels"]  # of the classifier
    assert spec.input.height == spec.input.width == row.input_size
    assert spec.arch == {
        **{
            key: list(value) if isinstance(value, tuple) else value
            for key, value in backbone.items()
        },
        "branch_channels": list(row.branch_channels),
        "stage_modules": list(row.stage_modules),
        "keypoints": spec.keypoints,
    }


@pytest.mark.parametrize(("name", "phi"), PHI.items())
def test_compound_scaling_makes_the_original_s_branches_and_modules(counts, name, phi):
    row = compound_scaling(phi)
    assert list(row.branch_channels) == counts[f"H{phi}"]["widths"]
    assert list(row.stage_modules) == counts[f"H{phi}"]["nmod"]


@pytest.mark.parametrize(("phi", "multipliers"), CONFIGURED.items())
def test_powers_make_the_same_backbone_as_the_configured_multipliers(phi, multipliers):
    width, depth = multipliers
    backbone = scale_backbone(phi)
    channels = [B0.stem_channels, *B0.stage_channels, B0.head_channels]
    assert [round_channels(value * width) for value in channels] == [
        backbone.stem_channels,
        *backbone.stage_channels,
        backbone.head_channels,
    ]
    assert [math.ceil(blocks * depth) for blocks in B0.stage_blocks] == list(backbone.stage_blocks)


@pytest.mark.parametrize("name", PHI)
def test_paper_counts_the_parameters_of_the_backbone_twice(build, name):
    with torch.device("meta"):
        net = build(name)
    twice = count_parameters(net) + count_parameters(net.features)
    assert math.floor(twice / 1e5) / 10 == model_spec(name).published.parameters_m


def test_net_returns_heatmaps_and_tags_then_finer_heatmaps(build):
    out0, out1 = build("efficienthrnet-h-4-crowdpose")(torch.zeros(2, 3, 64, 128))
    assert out0.shape == (2, 28, 16, 32)
    assert out1.shape == (2, 14, 32, 64)


def test_exported_net_is_plain_and_computes_the_same(h_4, tmp_path):
    spec = model_spec(STEM)
    path = tmp_path / "model.onnx"
    export(h_4, spec, 17, path)
    model = onnx.load(path)
    assert not blemishes(model, 17)
    operators = [node.op_type for node in model.graph.node]
    assert "Pad" not in operators
    gates = sum(isinstance(layer, SqueezeExcitation) for layer in h_4.modules())
    assert operators.count("GlobalAveragePool") == gates

    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, spec.input.height, spec.input.width, generator=generator)
    with torch.inference_mode():
        wanted = dict(zip(spec.outputs, h_4(image), strict=True))
    found = run_unoptimised(path, {"input": image.numpy()})
    for output, tensor in wanted.items():
        assert relative_error(tensor.numpy(), found[output]) < 1e-5, output
