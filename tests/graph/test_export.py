from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from edgepose.errors import BuildError, UsageError
from edgepose.graph.create import create_model
from edgepose.graph.export import export, run_net
from edgepose.graph.spec import Graph
from edgepose.prove.golden_images import golden_cases
from edgepose.zoo import list_models, model_spec
from tests.tiny_nets import normal, relative_error, run_unoptimised

ZooNet = Callable[[str], nn.Module]

LEFTOVERS = {"BatchNormalization", "Identity", "Shape", "Constant", "Dropout", "If"}
EXPORTS = [*((name, 17) for name in list_models()), ("rtmpose-t", 11), ("rtmpose-t", 13)]


@pytest.fixture(scope="module", params=EXPORTS, ids=lambda case: f"{case[0]}-opset{case[1]}")
def exported(
    request: pytest.FixtureRequest, zoo_net: ZooNet, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, int, Graph]:
    name, opset = request.param
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    return name, opset, export(zoo_net(name), model_spec(name), opset, path)


def test_a_zoo_model_exports_to_a_plain_graph(exported: tuple[str, int, Graph]) -> None:
    _, opset, graph = exported
    model = onnx.load(str(graph.path))
    left = {node.op_type for node in model.graph.node} & LEFTOVERS
    assert not left
    assert {node.domain for node in model.graph.node} == {""}
    assert [(item.domain, item.version) for item in model.opset_import] == [("", opset)]
    assert graph.opset == opset
    assert [path.name for path in graph.path.parent.iterdir()] == ["model.onnx"]


def test_an_exported_graph_has_the_zoo_s_names_and_static_shapes(
    exported: tuple[str, int, Graph],
) -> None:
    name, _, graph = exported
    spec = model_spec(name)
    assert spec.input is not None
    shape = (1, 3, spec.input.height, spec.input.width)
    assert [(tensor.name, tensor.shape) for tensor in graph.inputs] == [("input", shape)]
    assert tuple(tensor.name for tensor in graph.outputs) == spec.outputs
    assert all(size > 0 for tensor in graph.outputs for size in tensor.shape)


def test_no_dead_weight_stays_in_an_exported_graph(exported: tuple[str, int, Graph]) -> None:
    graph = onnx.load(str(exported[2].path)).graph
    read = {name for node in graph.node for name in node.input}
    assert {tensor.name for tensor in graph.initializer} <= read


def test_an_exported_graph_computes_what_the_net_computes(
    exported: tuple[str, int, Graph], zoo_net: ZooNet
) -> None:
    name, _, graph = exported
    spec = model_spec(name)
    assert spec.input is not None
    image = golden_cases(spec.input)[-1].tensor  # noise would make RTMDet amplify its rounding
    (wanted,) = run_net(zoo_net(name), spec, [image])
    found = run_unoptimised(graph.path, {"input": image})
    assert list(found) == list(wanted)
    for output, tensor in wanted.items():
        assert np.ptp(tensor) > 0, f"{output} is constant, so equality says nothing"
        assert relative_error(tensor, found[output]) < 1e-4, output


def test_an_operator_beyond_the_opset_is_a_build_error(tmp_path: Path) -> None:
    class Inverse(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.linalg.matrix_exp(x)

    spec = model_spec("rtmpose-t")
    assert spec.input is not None
    square = msgspec.structs.replace(spec.input, height=64, width=64)
    spec = msgspec.structs.replace(spec, input=square, outputs=("y",))
    with pytest.raises(BuildError, match=r"rtmpose-t cannot be exported at opset 17: .*matrix_exp"):
        export(Inverse(), spec, 17, tmp_path / "model.onnx")


@pytest.mark.parametrize("name", ["rtmpose-t", "litepose-xs"])
def test_equal_seeds_give_equal_weights_whatever_was_drawn_before(
    name: str, zoo_net: ZooNet
) -> None:
    torch.rand(7)
    again: dict[str, Any] = create_model(name).state_dict()
    first = zoo_net(name).state_dict()
    assert list(again) == list(first)
    assert all(torch.equal(first[key], again[key]) for key in first)


def test_create_model_leaves_the_random_numbers_of_its_caller_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    create_model("rtmpose-t")
    assert torch.equal(torch.rand(4), expected)


def test_a_created_net_is_in_eval_mode_and_its_norms_will_train_as_designed(
    zoo_net: ZooNet,
) -> None:
    net = zoo_net("litepose-xs")
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert not any(module.training for module in net.modules())
    assert {norm.momentum for norm in norms} == {0.1}


@pytest.mark.parametrize("name", list_models())
def test_seeded_nets_keep_their_activations_alive(name: str, zoo_net: ZooNet) -> None:
    spec = model_spec(name)
    assert spec.input is not None
    image = normal(1, 3, spec.input.height, spec.input.width, seed=1)
    for tensor in run_net(zoo_net(name), spec, [image])[0].values():
        assert np.isfinite(tensor).all()
        assert 1e-4 < np.abs(tensor).max() < 1e4


def test_an_unknown_model_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(UsageError, match="rtmpose-t"):
        create_model("rtmpose-tt")
