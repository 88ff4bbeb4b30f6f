"""What ncnn or our runner of it cannot express is refused when it is compiled, and named."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import Tensor, nn

from edgepose.build import build
from edgepose.bundle import Bundle, make_plan
from edgepose.deadline import Deadline
from edgepose.engines.ncnn_origin import Node, find_origins
from edgepose.errors import BuildError, RunError, UnsupportedModelError
from edgepose.prove.on_host import lines_on_host
from edgepose.runners.native_ncnn import LEFT_OUT_LAYERS
from tests.engines.conftest import Compile
from tests.tiny_nets import make_model, normal

SHAPE = [1, 3, 16, 16]


def integers(*values: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
    return np.array(values, np.int64)


def net(
    path: Path, *nodes: Any, weights: dict[str, Any] | None = None, gives: list[int] | None = None
) -> Path:
    """``nodes`` from x to y, both [1, 3, 16, 16] unless told."""
    onnx.save(make_model(nodes, {"x": SHAPE}, {"y": gives or SHAPE}, weights), str(path))
    return path


def exported(module: nn.Module, image: Tensor, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            (image,),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=["x"],
            output_names=["y"],
        )
    return path


def refusal(compile_onnx: Compile, onnx_file: Path) -> str:
    with pytest.raises(UnsupportedModelError) as caught:
        compile_onnx(onnx_file, "ncnn-fp32")
    assert caught.value.hint
    return str(caught.value)


def test_each_operator_that_ncnn_lacks_is_named_with_its_node(
    compile_onnx: Compile, tmp_path: Path
) -> None:
    path = net(
        tmp_path / "net.onnx",
        helper.make_node("Relu", ["x"], ["a"], name="/stem/Relu"),
        helper.make_node("Trilu", ["a"], ["b"], name="/neck/mask/Trilu"),
        helper.make_node("Hardmax", ["b"], ["c"], name="/head/Hardmax"),
        helper.make_node("Trilu", ["c"], ["y"], upper=0),
    )
    assert refusal(compile_onnx, path) == (
        'ncnn has no layer for Hardmax (node 2 Hardmax "/head/Hardmax" -> "c"), '
        'Trilu (node 1 Trilu "/neck/mask/Trilu" -> "b"; node 3 Trilu -> "y")'
    )


def test_only_the_node_that_is_not_converted_is_blamed(
    compile_onnx: Compile, tmp_path: Path
) -> None:
    """Both are slices; ncnn has none with a step."""
    path = net(
        tmp_path / "net.onnx",
        helper.make_node("Slice", ["x", "zero", "eight", "axis", "one"], ["a"], name="/head/crop"),
        helper.make_node("Slice", ["a", "zero", "eight", "axis", "two"], ["y"], name="/head/step"),
        weights={
            "zero": integers(0),
            "eight": integers(8),
            "axis": integers(2),
            "one": integers(1),
            "two": integers(2),
        },
        gives=[1, 3, 4, 16],
    )
    message = refusal(compile_onnx, path)
    assert 'node 1 Slice "/head/step" -> "y"' in message
    assert "/head/crop" not in message


def test_a_node_that_chooses_by_truth_values_is_found(
    compile_onnx: Compile, tmp_path: Path
) -> None:
    path = net(
        tmp_path / "net.onnx",
        helper.make_node("Greater", ["x", "limit"], ["above"], name="/Greater"),
        helper.make_node("Sin", ["x"], ["a"]),
        helper.make_node("Where", ["above", "x", "a"], ["y"], name="/Where"),
        weights={"limit": np.array([0.1], np.float32)},
    )
    message = refusal(compile_onnx, path)
    assert 'Greater "/Greater" -> "above"' in message
    assert 'Where "/Where" -> "y"' in message


def test_an_operator_with_the_name_of_another_layer_is_not_taken_for_it(
    compile_onnx: Compile, tmp_path: Path
) -> None:
    """ncnn's ArgMax knows no axis: it would load, and give something else."""
    path = net(
        tmp_path / "net.onnx",
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("ArgMax", ["a"], ["i"], name="/head/ArgMax", axis=1),
        helper.make_node("Cast", ["i"], ["y"], to=onnx.TensorProto.FLOAT),
        gives=[1, 1, 16, 16],
    )
    assert 'ArgMax (node 1 ArgMax "/head/ArgMax" -> "i")' in refusal(compile_onnx, path)


class Head(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.triu(x)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 4, 3, padding=1), Head()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.stem(x))
        return out


def test_the_name_of_an_exported_node_leads_to_its_module(
    compile_onnx: Compile, tmp_path: Path
) -> None:
    path = exported(Net(), torch.zeros(SHAPE), tmp_path / "net.onnx")
    assert '"/head/Trilu" -> ' in refusal(compile_onnx, path)


def test_a_node_that_crashes_the_converter_is_named(compile_onnx: Compile, tmp_path: Path) -> None:
    path = net(
        tmp_path / "net.onnx",
        helper.make_node("Relu", ["x"], ["a"]),
        # pnnx dies of the unread indices
        helper.make_node("TopK", ["a", "k"], ["y", "indices"], name="/head/TopK"),
        weights={"k": integers(16)},
    )
    with pytest.raises(BuildError, match="pnnx ended with exit code") as caught:
        compile_onnx(path, "ncnn-fp32")
    assert str(caught.value).endswith('on this alone: node 1 TopK "/head/TopK" -> "y"')


def test_a_layer_that_the_runner_is_built_without_is_refused_before_any_device_sees_it(
    compile_onnx: Compile, tmp_path: Path
) -> None:
    """The Python package has it, so a check against that would find nothing wrong."""
    path = net(
        tmp_path / "net.onnx",
        helper.make_node("Reshape", ["x", "rows"], ["a"]),
        helper.make_node("Conv", ["a", "w"], ["y"], name="/lift/Conv"),
        weights={"rows": integers(1, 48, 16), "w": normal(5, 48, 1)},
        gives=[1, 5, 16],
    )
    message = refusal(compile_onnx, path)
    assert "ncnn runner is built without Convolution1D" in message
    assert 'node 1 Conv "/lift/Conv" -> "y"' in message


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.PixelUnshuffle(2), (1, 3, 8, 6)),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.CELU()), (1, 3, 8, 6)),
        (nn.Sequential(nn.Flatten(2), nn.AdaptiveAvgPool1d(1)), (1, 3, 8, 6)),
        (nn.Sequential(nn.Conv2d(3, 8, 2, 2), nn.Flatten(2), nn.GELU()), (1, 3, 8, 6)),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.InstanceNorm2d(4, affine=True)), (1, 3, 8, 6)),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.LayerNorm(6)), (1, 3, 8, 6)),
    ],
    ids=["space to depth", "celu", "mean of tokens", "gelu", "instance norm", "layer norm"],
)
def test_the_runner_computes_what_newer_pose_nets_are_made_of(
    tmp_path: Path, module: nn.Module, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    path = exported(module, torch.zeros(shape), tmp_path / "net.onnx")
    bundle = build(str(path), recipe="ncnn-fp32", into=tmp_path / "bundle")
    assert bundle.manifest.runner == "runner"
    assert bundle.manifest.proof.passed


def test_the_error_function_alone_is_built_into_the_runner(tmp_path: Path) -> None:
    """Where pnnx does not see a GELU in its surroundings, it stays a layer of its own."""
    path = net(tmp_path / "net.onnx", helper.make_node("Erf", ["x"], ["y"]))
    bundle = build(str(path), recipe="ncnn-fp32", into=tmp_path / "bundle")
    assert "Erf" in (bundle.folder / "model.ncnn.param").read_text()
    assert bundle.manifest.proof.passed


def load_refusal(bundle: Bundle, kind: str, folder: Path) -> str:
    """What the native runner says of a net of one layer; empty where it loads its structure."""
    param = folder / f"{kind}.param"
    param.write_text(f"7767517\n2 2\nInput in0 0 1 in0\n{kind} layer 1 1 in0 out0\n")
    paths = {name: str(bundle.folder / name) for name in bundle.manifest.files}
    plan = make_plan(bundle.manifest, "prove", kind, paths)
    artifact = {**plan.artifact, "model.ncnn.param": str(param)}
    plan = msgspec.structs.replace(plan, artifact=artifact, sha256={})
    with pytest.raises(RunError) as caught:  # at the latest, of outputs that are not there
        lines_on_host(plan, (str(bundle.folder / bundle.manifest.runner),))
    message = str(caught.value)
    return message if "refuses model.ncnn.param" in message else ""


def test_what_is_called_left_out_is_what_the_runner_lacks(
    tiny_bundle: Callable[[str], Bundle], tmp_path: Path
) -> None:
    bundle = tiny_bundle("ncnn-fp32")
    assert all(load_refusal(bundle, kind, tmp_path) for kind in LEFT_OUT_LAYERS)
    assert not load_refusal(bundle, "Dropout", tmp_path)
    assert not load_refusal(bundle, "Reorg", tmp_path)


def heads(path: Path) -> Path:
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Neg", ["a"], ["y"])]
    return net(path, *nodes)


def test_nodes_of_one_kind_are_converted_once(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", [f"t{i}"], [f"t{i + 1}"]) for i in range(6)]
    onnx.save(make_model(nodes, {"t0": SHAPE}, {"t6": SHAPE}), str(tmp_path / "net.onnx"))
    asked: list[Path] = []

    def layers_of(onnx_file: Path) -> frozenset[str]:
        asked.append(onnx_file)
        return frozenset({"ReLU"})

    found = find_origins(tmp_path / "net.onnx", ["ReLU"], layers_of)
    assert len(asked) == 1
    assert [node.number for node in found.of["ReLU"]] == list(range(6))


def test_nothing_is_looked_at_after_the_deadline(tmp_path: Path) -> None:
    found = find_origins(
        heads(tmp_path / "net.onnx"), ["ReLU"], lambda path: frozenset(), Deadline.after(0)
    )
    assert (found.of, found.crashing) == ({"ReLU": ()}, ())


def test_a_node_without_a_name_is_told_by_its_output(tmp_path: Path) -> None:
    found = find_origins(heads(tmp_path / "net.onnx"), [], lambda path: None)
    assert found.crashing == (Node(0, "Relu", "", "a"), Node(1, "Neg", "", "y"))
    assert str(found.crashing[1]) == 'node 1 Neg -> "y"'
