"""Blocked layout and schedules by rule: the same numbers, for every shape, vector and thread."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from edgepose.engines.tvm import fast_stack
from edgepose.engines.tvm.hardware import TvmTarget, tvm_target
from edgepose.engines.tvm.packing import pack_activation, pack_dense, pack_depthwise
from edgepose.engines.tvm.tiles import Machine, Space, machine_of, tiles
from edgepose.targets import load_target
from tests.tiny_nets import make_model, normal, relative_error, run_unoptimised

HOST = tvm_target(load_target("host"))
NEON = Machine(lanes=4, accumulators=24, cores=4)
X = (1, 20, 12, 11)  # 20 channels fill no block of 8 or 16

Nodes = Sequence[Any]
Weights = Mapping[str, NDArray[Any]]


def node(kind: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(" "), [output], **attributes)


def conv(*shape: int, **attributes: Any) -> tuple[Nodes, Weights]:
    return [node("Conv", "x w b", "y", **attributes)], {
        "w": normal(*shape, seed=1) / 4,
        "b": normal(shape[0], seed=2),
    }


def conv_transposed(*shape: int, **attributes: Any) -> tuple[Nodes, Weights]:
    return [node("ConvTranspose", "x w", "y", **attributes)], {"w": normal(*shape, seed=1) / 4}


NETS: dict[str, tuple[Nodes, Weights]] = {
    "pointwise": conv(12, 20, 1, 1),
    "dense": conv(17, 20, 3, 3, pads=[1, 1, 1, 1]),
    "strided, one-sided border": conv(16, 20, 3, 3, strides=[2, 2], pads=[0, 0, 1, 1]),
    "dilated": conv(8, 20, 3, 3, dilations=[2, 2], pads=[2, 2, 2, 2]),
    "wide without a border": conv(8, 20, 5, 3),
    "depthwise": conv(20, 1, 7, 7, group=20, pads=[3, 3, 3, 3]),
    "depthwise, strided": conv(20, 1, 5, 5, group=20, strides=[2, 2], pads=[2, 2, 2, 2]),
    "grouped": conv(10, 4, 3, 3, group=5, pads=[1, 1, 1, 1]),
    "transposed 4 by 2": conv_transposed(20, 9, 4, 4, strides=[2, 2], pads=[1, 1, 1, 1]),
    "transposed 3 by 2": conv_transposed(
        20, 9, 3, 3, strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]
    ),
    "transposed 2 by 2": conv_transposed(20, 9, 2, 2, strides=[2, 2]),
    "squeeze and excite, parts that fill no block": (
        [
            node("Conv", "x w", "a"),
            node("Sigmoid", "a", "s"),
            node("Mul", "a s", "swish"),
            node("Concat", "swish a", "both", axis=1),
            node("GlobalAveragePool", "both", "mean"),
            node("Conv", "mean v", "gate"),
            node("HardSigmoid", "gate", "open", alpha=0.2),
            node("Mul", "both open", "y"),
        ],
        {"w": normal(12, 20, 1, 1), "v": normal(24, 24, 1, 1, seed=1)},
    ),
    "pooled and enlarged": (
        [
            node("Conv", "x w", "a"),
            node("MaxPool", "a", "p", kernel_shape=[5, 5], pads=[2, 2, 2, 2]),
            node("Add", "a p", "sum"),
            node(
                "Resize",
                "sum  scales",
                "y",
                mode="nearest",
                nearest_mode="floor",
                coordinate_transformation_mode="asymmetric",
            ),
        ],
        {"w": normal(12, 20, 1, 1), "scales": np.array([1, 1, 2, 3], np.float32)},
    ),
    "a map for all channels, a softmax over them": (
        [
            node("Conv", "x w", "a"),
            node("Conv", "x v", "map"),
            node("Mul", "a map", "m"),
            node("Softmax", "m", "soft", axis=1),
            node("Add", "soft a", "y"),
        ],
        {"w": normal(12, 20, 1, 1), "v": normal(1, 20, 1, 1, seed=1)},
    ),
    "a head of matrices": (
        [
            node("Conv", "x w", "a"),
            node("Reshape", "a flat", "rows"),
            node("MatMul", "rows v", "m"),
            node("Sigmoid", "m", "y"),
        ],
        {
            "w": normal(17, 20, 1, 1),
            "v": normal(132, 48, seed=1) / 8,
            "flat": np.array([1, 17, 132], np.int64),
        },
    ),
}


@pytest.fixture(autouse=True)
def _quick_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inspect.stack", inspect.stack)  # put back afterwards
    fast_stack.install()


def save_net(name: str, path: Path) -> Path:
    nodes, weights = NETS[name]
    model = make_model(nodes, {"x": X}, {"y": [None] * (3 if "matrices" in name else 4)}, weights)
    onnx.save(onnx.shape_inference.infer_shapes(model), str(path))
    return path


def run_tvm(path: Path, target: TvmTarget) -> NDArray[np.float32]:
    """What the net in ``path`` makes of the image, every kernel scheduled by rule."""
    import tvm

    from edgepose.engines.tvm.lower import lower, to_tvm
    from edgepose.engines.tvm.schedules import schedule_rest

    module = schedule_rest(lower(path, target), target)
    machine = tvm.relax.VirtualMachine(tvm.compile(module, to_tvm(target)), tvm.cpu())
    result: NDArray[np.float32] = machine["main"](tvm.runtime.tensor(normal(*X))).numpy()
    return result


@pytest.mark.parametrize("vector_bits", [128, 256, 512])
@pytest.mark.parametrize("name", NETS)
def test_every_operator_computes_the_same_in_blocks(
    name: str, vector_bits: int, tmp_path: Path
) -> None:
    path = save_net(name, tmp_path / "net.onnx")
    target = TvmTarget(triple=HOST.triple, cpu=HOST.cpu, cores=2, vector_bits=vector_bits)
    expected = run_unoptimised(path, {"x": normal(*X)})["y"]
    assert relative_error(expected, run_tvm(path, target)) < 1e-5


def test_every_schedule_that_tuning_may_choose_computes_the_same(tmp_path: Path) -> None:
    import tvm

    from edgepose.engines.tvm.lower import lower, tasks_of, to_tvm
    from edgepose.engines.tvm.schedules import schedules

    target = TvmTarget(triple=HOST.triple, cpu=HOST.cpu, cores=1, vector_bits=128)
    module = lower(save_net("dense", tmp_path / "net.onnx"), target)
    kernel = next(kernel for task, kernel in tasks_of(module, target) if "conv2d" in task.name)
    shapes = [[int(extent) for extent in each.ty.shape] for each in kernel["main"].params]
    arrays = [normal(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    results = []
    for schedule in schedules(kernel, machine_of(target)):
        tensors = [tvm.runtime.tensor(array) for array in arrays]
        tvm.compile(schedule.mod, to_tvm(target)).mod["main"](*tensors)
        results.append(tensors[-1].numpy())
    assert len(results) >= 8
    assert max(relative_error(results[0], each) for each in results) < 1e-6


def test_no_conversion_is_made_twice_or_undone(tmp_path: Path) -> None:
    from edgepose.engines.tvm.lower import lower

    module = lower(save_net("squeeze and excite, parts that fill no block", tmp_path / "n"), HOST)
    names = [name.name_hint for name in module.functions]
    assert len([name for name in names if "unpack" in name]) == 1
    assert len([name for name in names if "pack" in name]) == 2


def test_a_kernel_that_a_record_scheduled_stays_as_it_is(tmp_path: Path) -> None:
    import tvm

    from edgepose.engines.tvm.lower import lower
    from edgepose.engines.tvm.schedules import schedule_rest

    lowered = lower(save_net("pointwise", tmp_path / "net.onnx"), HOST)
    marked = tvm.IRModule(
        {
            name: function.with_attr("tirx.is_scheduled", True)
            for name, function in lowered.functions.items()
        }
    )
    assert schedule_rest(marked, HOST).script() == marked.script()
    assert schedule_rest(lowered, HOST).script() != lowered.script()


def test_lanes_beyond_the_last_channel_are_zero() -> None:
    packed = pack_activation(np.ones((1, 5, 2, 3)), 4)
    assert packed.shape == (1, 2, 2, 3, 4)
    assert packed.sum() == 5 * 6
    assert not packed[:, 1, :, :, 1:].any()


def test_weights_lie_in_the_order_in_which_they_are_read() -> None:
    weight = normal(6, 5, 3, 3)
    packed = pack_dense(weight, 4)
    assert packed.shape == (2, 3, 3, 5, 4)
    assert packed[1, 2, 0, 3, 1] == weight[5, 3, 2, 0]
    own = pack_depthwise(weight[:, :1], 4)
    assert own[1, 2, 0, 1] == weight[5, 0, 2, 0]


@pytest.mark.parametrize("shares_data", [True, False])
@pytest.mark.parametrize("columns", [1, 6, 17, 48, 64])
def test_a_tile_fits_the_registers_and_divides_the_output(columns: int, shares_data: bool) -> None:
    space = Space(12, 8, columns, shares_data=shares_data, border_row_bytes=4000.0)
    for tile in tiles(space, NEON):
        assert tile.blocks * tile.rows * tile.columns <= NEON.accumulators
        assert (12 % tile.blocks, 8 % tile.rows, columns % tile.columns) == (0, 0, 0)
        assert (8 % tile.border_rows, tile.border_rows % tile.rows) == (0, 0)


def test_the_first_tile_keeps_enough_sums_in_flight_and_reuses_what_it_loads() -> None:
    first = tiles(Space(12, 32, 32, shares_data=True), NEON)[0]
    assert first.blocks * first.rows * first.columns >= 16
    assert min(first.blocks, first.rows * first.columns) >= 3


def test_each_core_gets_rows_of_its_own() -> None:
    space = Space(1, 64, 64, shares_data=True, border_row_bytes=10.0)
    assert {tile.border_rows for tile in tiles(space, NEON)} <= {1, 2, 4, 8, 16}


def test_only_a_kernel_of_several_sums_has_no_rule(tmp_path: Path) -> None:
    from edgepose.engines.tvm.lower import lower, tasks_of
    from edgepose.engines.tvm.schedules import start_schedule

    name = "a map for all channels, a softmax over them"
    tasks = tasks_of(lower(save_net(name, tmp_path / "net.onnx"), HOST), HOST)
    ruled = {task.name: start_schedule(kernel, machine_of(HOST)) for task, kernel in tasks}
    assert [name for name, schedule in ruled.items() if schedule is None] == ["softmax"]
