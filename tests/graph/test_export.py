from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import onnx
import pytest
import torch
from torch import Tensor, nn

from edgepose.errors import BuildError, UsageError
from edgepose.graph.create import create_model
from edgepose.graph.export import export, trace
from edgepose.graph.simplify import simplify
from edgepose.zoo import model_spec

ZooNet = Callable[[str], nn.Module]


def test_export_writes_the_file_it_was_asked_for_and_no_other(
    zoo_net: ZooNet, tmp_path: Path
) -> None:
    graph = export(zoo_net("rtmpose-t"), model_spec("rtmpose-t"), 13, tmp_path / "model.onnx")
    assert graph.opset == 13
    assert graph.path == tmp_path / "model.onnx"
    assert list(tmp_path.iterdir()) == [graph.path]


def test_a_traced_net_becomes_an_exported_one_by_simplification(
    zoo_net: ZooNet, tmp_path: Path
) -> None:
    """LitePose: two outputs, and batch norms of sums that no exporter folds."""
    spec, net = model_spec("litepose-xs"), zoo_net("litepose-xs")
    trace(net, spec, 17, tmp_path / "traced.onnx")
    simplify(tmp_path / "traced.onnx", tmp_path / "simple.onnx")
    export(net, spec, 17, tmp_path / "model.onnx")
    before, after = (onnx.load(tmp_path / f"{name}.onnx").graph for name in ("traced", "simple"))
    assert "BatchNormalization" in {node.op_type for node in before.node}
    assert len(after.node) < len(before.node)
    assert (tmp_path / "model.onnx").read_bytes() == (tmp_path / "simple.onnx").read_bytes()


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


def test_an_unknown_model_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(UsageError, match="rtmpose-t"):
        create_model("rtmpose-tt")
