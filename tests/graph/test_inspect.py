import json
from importlib import import_module

import pytest
import torch
from torch import nn

from edgepose.graph.inspect import count_macs, count_parameters
from edgepose.zoo import model_spec

# model -> file, entry
COUNTS = {
    "litepose-xs": ("counts_litepose", "coco/search-XS.json"),
    "litepose-xs-crowdpose": ("counts_litepose", "crowd_pose/search-XS.json"),
    "rtmpose-t": ("counts_rtmpose", "rtmpose-t"),
    "rtmpose-s": ("counts_rtmpose", "rtmpose-s"),
    "rtmdet-nano": ("counts_rtmdet_x", "rtmdet-nano-320"),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_equal_those_taken_from_the_original_code(shared_data, name):
    file, entry = COUNTS[name]
    expected = json.loads((shared_data / "reference" / f"{file}.json").read_text())[entry]
    spec = model_spec(name)
    assert spec.input is not None
    module, function = spec.builder.split(":")
    net = getattr(import_module(module), function)(**spec.arch)

    assert count_parameters(net) == expected["params"]
    image = torch.zeros(1, 3, spec.input.height, spec.input.width)
    assert count_macs(net, (image,)) == expected["macs"]


def test_grouped_and_strided_convolution_counts_its_real_products():
    layer = nn.Conv2d(8, 16, 3, stride=2, padding=1, groups=4)
    assert count_macs(layer, (torch.zeros(1, 8, 10, 10),)) == 16 * 5 * 5 * (8 // 4) * 9


def test_transposed_convolution_counts_input_positions():
    layer = nn.ConvTranspose2d(8, 16, 4, stride=2, padding=1)
    assert count_macs(layer, (torch.zeros(1, 8, 5, 5),)) == 8 * 5 * 5 * 16 * 16


def test_linear_counts_every_token_and_the_batch():
    assert count_macs(nn.Linear(6, 7), (torch.zeros(2, 3, 6),)) == 2 * 3 * 6 * 7


def test_a_layer_used_twice_holds_its_parameters_once_and_costs_twice():
    layer = nn.Linear(4, 4, bias=False)
    net = nn.Sequential(layer, layer)
    assert count_parameters(net) == 16
    assert count_macs(net, (torch.zeros(1, 4),)) == 32


def test_counting_leaves_the_net_as_it_was():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    count_macs(net, (torch.ones(2, 3, 4, 4),))
    assert net.training
    assert not net[0]._forward_hooks
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
