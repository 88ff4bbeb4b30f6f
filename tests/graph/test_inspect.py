import json
from importlib import import_module

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgepose.graph.inspect import count_by_rule, count_macs, count_parameters, stages
from edgepose.zoo import CountingRule, model_spec

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
    assert count_macs(net, (image,)) == expected["flopcounter_macs"]


def test_grouped_and_strided_convolution_counts_its_real_products():
    layer = nn.Conv2d(8, 16, 3, stride=2, padding=1, groups=4)
    assert count_macs(layer, (torch.zeros(1, 8, 10, 10),)) == 16 * 5 * 5 * (8 // 4) * 9


def test_transposed_convolution_counts_input_positions():
    layer = nn.ConvTranspose2d(8, 16, 4, stride=2, padding=1)
    assert count_macs(layer, (torch.zeros(1, 8, 5, 5),)) == 8 * 5 * 5 * 16 * 16


def test_linear_counts_every_token_and_the_batch():
    assert count_macs(nn.Linear(6, 7), (torch.zeros(2, 3, 6),)) == 2 * 3 * 6 * 7


class Attention(nn.Module):
    """20 queries of 32 numbers attend to 10 keys, by 4 heads."""

    macs = 2 * 20 * 32 * 32 + 2 * 10 * 32 * 32 + 2 * 20 * 10 * 32

    def __init__(self, need_weights: bool = False) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
        self.need_weights = need_weights

    def forward(self, query: Tensor, memory: Tensor) -> Tensor:
        attended: Tensor = self.attention(query, memory, memory, need_weights=self.need_weights)[0]
        return attended


class Products(nn.Module):
    """The products of attention, spelt in four ways; each has 4 * 20 * 10 * 8 of them twice."""

    macs = 4 * 4 * 20 * 10 * 8 * 2

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        weights = torch.matmul(q, k.transpose(2, 3))
        y = torch.matmul(weights, v)
        y = y + torch.einsum("bhnm,bhmd->bhnd", torch.einsum("bhnd,bhmd->bhnm", q, k), v)
        one_batch = [tensor.flatten(0, 1) for tensor in (q, k, v)]
        scores = torch.bmm(one_batch[0], one_batch[1].transpose(1, 2))
        y = y + torch.bmm(scores, one_batch[2]).reshape(y.shape)
        return y + functional.scaled_dot_product_attention(q, k, v)


@pytest.mark.parametrize("need_weights", [True, False])
def test_attention_counts_its_projections_and_both_products(need_weights):
    inputs = (torch.zeros(3, 20, 32), torch.zeros(3, 10, 32))
    assert count_macs(Attention(need_weights), inputs) == 3 * Attention.macs


def test_self_attention_counts_although_pytorch_fuses_it_in_eval_mode():
    net = nn.TransformerEncoderLayer(32, 4, dim_feedforward=64, batch_first=True).eval()
    projections, feed_forward, products = 4 * 20 * 32 * 32, 2 * 20 * 32 * 64, 2 * 20 * 20 * 32
    assert count_macs(net, (torch.zeros(1, 20, 32),)) == projections + feed_forward + products


def test_products_of_activations_count_however_they_are_spelt():
    shapes = [(1, 4, 20, 8), (1, 4, 10, 8), (1, 4, 10, 8)]
    assert count_macs(Products(), tuple(torch.zeros(shape) for shape in shapes)) == Products.macs


def net_of_all_layers() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),  # (8, 8, 8): 13824 MACs, 512 outputs
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.MaxPool2d(2),  # 512 -> 128
        nn.SiLU(),
        nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1, groups=2, bias=False),  # 4096 at inputs
        nn.Upsample(scale_factor=2),  # (4, 16, 16): 1024 outputs
        nn.Flatten(),
        nn.Linear(1024, 10),
    )


LAYERS = 8 * 8 * 8 * 27 + 8 * 4 * 4 * 2 * 16 + 10240


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, LAYERS),
        ({"deconvolution": "output"}, LAYERS + 3 * 4096),
        ({"bias": True}, LAYERS + 512 + 10),
        ({"norm": 2}, LAYERS + 2 * 512),
        ({"activation": 1}, LAYERS + 512),  # of ReLU6; no tool knows SiLU
        ({"pooling": 1}, LAYERS + 512),
        ({"upsampling": 1}, LAYERS + 1024),
    ],
    ids=str,
)
def test_a_rule_adds_what_it_says_and_nothing_else(rule, expected):
    image = (torch.zeros(1, 3, 8, 8),)
    assert count_macs(net_of_all_layers(), image) == LAYERS
    assert count_by_rule(net_of_all_layers(), image, CountingRule(tool="t", **rule)) == expected


def test_a_rule_may_leave_attention_modules_out_or_count_products_beside_them():
    class Both(Attention):
        def forward(self, query: Tensor, memory: Tensor) -> Tensor:
            return torch.bmm(super().forward(query, memory), query.transpose(1, 2))

    inputs, beside = (torch.zeros(1, 20, 32), torch.zeros(1, 10, 32)), 20 * 20 * 32
    counts = {
        (products, modules): count_by_rule(
            Both(), inputs, CountingRule(tool="t", products=products, attention_modules=modules)
        )
        for products in (True, False)
        for modules in (True, False)
    }
    assert counts == {
        (True, True): Attention.macs + beside,
        (True, False): beside,
        (False, True): Attention.macs,
        (False, False): 0,
    }


def test_the_tool_of_litepose_counts_as_the_paper_prints():
    """Old ptflops: transposed convolutions at output positions, norms twice, ReLU6 once."""
    rule = CountingRule(tool="ptflops", deconvolution="output", norm=2, activation=1)
    spec = model_spec("litepose-xs")
    module, function = spec.builder.split(":")
    net = getattr(import_module(module), function)(**spec.arch)
    macs = count_by_rule(net, (torch.zeros(1, 3, 256, 256),), rule)
    assert macs == 1_205_215_232
    assert round(macs / 1e9, 1) == spec.published.gmacs


class Branches(nn.Module):
    """``late`` stands first in the net and runs last; ``dear`` has most of the cost."""

    def __init__(self) -> None:
        super().__init__()
        self.late = nn.Conv2d(8, 1, 1)
        self.dear = nn.Sequential(nn.Conv2d(3, 8, 7, padding=3), nn.BatchNorm2d(8))
        self.heads = nn.ModuleList([nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, padding=1)])
        self.scale = nn.Parameter(torch.ones(5))

    def forward(self, x: Tensor) -> Tensor:
        y = self.dear(x)
        for head in self.heads:
            y = head(y)
        y = self.late(y * self.scale[0])
        return torch.matmul(y, y)


def test_stages_stand_in_order_of_execution_and_sum_up_to_the_net():
    net, image = Branches(), (torch.zeros(1, 3, 6, 6),)
    rows = stages(net, image)
    assert [(row.name, row.output) for row in rows] == [
        ("dear.0", (1, 8, 6, 6)),
        ("heads.0", (1, 8, 6, 6)),
        ("heads.1", (1, 8, 6, 6)),
        ("late", (1, 1, 6, 6)),
        ("rest", ()),
    ]
    assert rows[-1].parameters == 16 + 5  # the norm inside "dear", and the scale
    assert rows[-1].macs == 6 * 6 * 6  # the product
    assert sum(row.macs for row in rows) == count_macs(net, image)
    assert sum(row.parameters for row in rows) == count_parameters(net)


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
