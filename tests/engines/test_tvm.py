"""TVM's engine: right outputs, records applied, and clear words for what it cannot do."""

import json
import os
import shutil
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import helper

from edgepose.build import build
from edgepose.deadline import Deadline
from edgepose.engines import usable_engine
from edgepose.engines.base import Artifact
from edgepose.engines.tvm import pins
from edgepose.engines.tvm.hardware import TvmTarget, proxy_of, tvm_target
from edgepose.engines.tvm.process import run_child
from edgepose.engines.tvm.session import TvmSession
from edgepose.engines.tvm.steps import (
    LIBRARY,
    MODULE,
    Compiled,
    CompileRequest,
    LowerRequest,
    compile_apart,
    lower_apart,
)
from edgepose.errors import RunError, ToolchainError, UnsupportedModelError, UsageError
from edgepose.graph.spec import TensorSpec
from edgepose.runners.glibc import needed_glibc
from edgepose.targets import Cpu, load_target
from tests.engines.conftest import Compile, Load
from tests.tiny_nets import (
    make_model,
    normal,
    relative_error,
    run_unoptimised,
    save_heatmap_net,
)

ROOT = Path(__file__).parent.parent.parent
RECIPE = "tvm-autoscheduler"
HOST = tvm_target(load_target("host"))
IMAGE = {"input": normal(1, 3, 64, 48, seed=3)}


def compile_for(
    onnx_file: Path, folder: Path, target: TvmTarget = HOST, records: Path | None = None
) -> Compiled:
    folder.mkdir(exist_ok=True)
    request = CompileRequest(
        onnx=str(onnx_file), target=target, records=str(records) if records else None
    )
    return compile_apart(request, folder, Deadline.after(300))


def tasks_of(onnx_file: Path, folder: Path, target: TvmTarget = HOST) -> list[str]:
    folder.mkdir(exist_ok=True)
    request = LowerRequest(onnx=str(onnx_file), target=target)
    return [task.name for task in lower_apart(request, folder, Deadline.after(300)).tasks]


def heatmaps(folder: Path) -> Any:
    """What the library in ``folder`` makes of the image, by TVM in this process."""
    artifact = Artifact(
        folder=folder,
        files=(LIBRARY,),
        options={},
        inputs=(TensorSpec("input", (1, 3, 64, 48)),),
        outputs=(TensorSpec("heatmaps", (1, 3, 16, 12)),),
    )
    return TvmSession(artifact, threads=1).run(IMAGE)["heatmaps"]


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return save_heatmap_net(tmp_path / "net.onnx")


@pytest.mark.parametrize("name", ["litepose-xs", "rtmpose-t"])
def test_a_net_of_the_zoo_is_within_a_ten_thousandth_of_torch(tmp_path: Path, name: str) -> None:
    bundle = build(name, recipe=RECIPE, into=tmp_path / name)
    proof = bundle.manifest.proof
    assert proof.where == "this host"
    assert len(proof.tensors) == 2
    assert max(tensor.max_relative_error for tensor in proof.tensors) < 1e-4


@pytest.mark.parametrize("name", ["tinypose-128x96", "rtmdet-nano"])
def test_a_published_net_is_within_a_ten_thousandth_of_onnxruntime(
    shared_data: Path, load_onnx: Load, tmp_path: Path, name: str
) -> None:
    path = shutil.copy(shared_data / "models" / f"{name}.onnx", tmp_path / "net.onnx")
    ((key, shape),) = (
        (value.name, [dim.dim_value for dim in value.type.tensor_type.shape.dim])
        for value in onnx.load(str(path)).graph.input
    )
    image = {key: normal(*shape, seed=1)}
    expected = run_unoptimised(path, image)
    found = load_onnx(path, RECIPE).run(image)
    assert list(found) == list(expected)
    assert max(relative_error(expected[name], found[name]) for name in expected) < 1e-4


def test_records_are_applied_and_counted(net: Path, tmp_path: Path) -> None:
    untuned = compile_for(net, tmp_path / "untuned")
    assert (untuned.tuned_tasks, untuned.tuned_share) == (0, 0.0)
    deadline = Deadline.after(300)
    run_child("tests.engines.tvm_tuner", [str(net)], tmp_path, deadline, doing="tuning")
    records = tmp_path / "records"

    tuned = compile_for(net, tmp_path / "tuned", records=records)
    assert tuned == Compiled(tasks=untuned.tasks, tuned_tasks=untuned.tasks, tuned_share=1.0)
    plain = heatmaps(tmp_path / "untuned")
    assert relative_error(plain, heatmaps(tmp_path / "tuned")) < 1e-5
    libraries = [(tmp_path / name / LIBRARY).read_bytes() for name in ("untuned", "tuned")]
    assert libraries[0] != libraries[1]

    keep_only_failures(records / "database_tuning_record.json")
    assert compile_for(net, tmp_path / "failed", records=records) == untuned


def keep_only_failures(path: Path) -> None:
    """Every trial as TVM writes one that failed."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for _, body in lines:
        body[1] = [1e10]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_board_and_its_proxy_on_this_host_have_the_same_kernels(
    net: Path, tmp_path: Path
) -> None:
    board = load_target("rpi4")
    for name, target in (("board", tvm_target(board)), ("proxy", proxy_of(board))):
        tasks_of(net, tmp_path / name, target)
    modules = [(tmp_path / name / MODULE).read_bytes() for name in ("board", "proxy")]
    assert modules[0] == modules[1]
    assert proxy_of(board).arch == HOST.arch
    assert (proxy_of(board).cores, proxy_of(board).block) == (4, 4)


def test_a_batch_norm_and_a_clip_cost_no_kernel_of_their_own(tmp_path: Path) -> None:
    weights = {
        "w": normal(8, 3, 3, 3),
        **{name: np.abs(normal(8, seed=seed)) + 0.1 for seed, name in enumerate("sbmv")},
        "low": np.float32(0),
        "high": np.float32(6),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["a", *"sbmv"], ["n"]),
        helper.make_node("Clip", ["n", "low", "high"], ["y"]),
    ]
    shapes = {"x": [1, 3, 8, 8]}, {"y": [1, 8, 8, 8]}
    onnx.save(make_model(nodes, *shapes, weights), str(tmp_path / "net.onnx"))
    names = tasks_of(tmp_path / "net.onnx", tmp_path / "lowered")
    assert len([name for name in names if "conv" in name]) == 1
    assert not [name for name in names if "sqrt" in name or "divide" in name]
    assert any("conv" in name and "clip" in name for name in names)


def test_an_operator_that_tvm_lacks_is_named_with_its_node(
    compile_onnx: Compile, tmp_path: Path
) -> None:
    node = helper.make_node("Det", ["x"], ["y"], name="/head/determinant")
    path = tmp_path / "net.onnx"
    onnx.save(make_model([node], {"x": [1, 3, 16, 16]}, {"y": [1, 3]}), str(path))
    with pytest.raises(UnsupportedModelError, match=r"Det \(node .+\)") as caught:
        compile_onnx(path, RECIPE)
    assert caught.value.hint


def test_a_setting_that_tvm_lacks_is_named_with_its_operator_and_node(tmp_path: Path) -> None:
    node = helper.make_node("TopK", ["x", "k"], ["y", "i"], name="/head/best", sorted=0)
    path = tmp_path / "net.onnx"
    shapes = {"x": [1, 3, 16, 16]}, {"y": [1, 3, 16, 8]}
    onnx.save(make_model([node], *shapes, {"k": np.array([8], np.int64)}), str(path))
    with pytest.raises(UnsupportedModelError, match=r"TopK \(node /head/best\): .*sorted"):
        compile_for(path, tmp_path / "compiled")


def test_a_library_for_another_cpu_is_refused_here(net: Path, tmp_path: Path) -> None:
    other = load_target("rpi4" if HOST.arch == "x86_64" else "i7-11700")
    compile_for(net, tmp_path / "other", tvm_target(other))
    with pytest.raises(RunError, match=f"is for {other.arch}, this host is {HOST.arch}") as caught:
        heatmaps(tmp_path / "other")
    assert "--device" in caught.value.hint


def test_a_library_for_an_old_board_needs_no_newer_glibc_than_it_has(
    net: Path, tmp_path: Path
) -> None:
    board = load_target("jetson-nano")
    assert board.system.libc == "glibc 2.27"
    compile_for(net, tmp_path / "compiled", tvm_target(board))
    assert needed_glibc([(tmp_path / "compiled" / LIBRARY).read_bytes()]) <= (2, 27)


def test_a_session_leaves_this_process_on_all_its_cores(net: Path, tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    compile_for(net, tmp_path / "compiled")
    heatmaps(tmp_path / "compiled")
    assert os.sched_getaffinity(0) == before


def test_a_target_that_does_not_name_its_cpu_for_llvm_is_refused() -> None:
    cpu = Cpu(name="unknown", cores=4, fast_cores=(0,))
    with pytest.raises(UsageError, match="does not tell TVM its CPU") as caught:
        tvm_target(msgspec.structs.replace(load_target("rpi4"), cpu=cpu))
    assert "llvm" in caught.value.hint


@pytest.mark.parametrize(
    ("package", "version", "why"),
    [
        ("apache_tvm_ffi", "0.1.15.post2", "segmentation fault"),
        ("apache_tvm", "0.26.0", "renames its modules"),
    ],
)
def test_a_wrong_version_is_named_with_the_right_one_and_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, version: str, why: str
) -> None:
    name = package.replace("_", "-")
    installed = tmp_path / f"{package}-{version}.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ToolchainError, match=f"needs {name}=={pins.PINS[name]}") as caught:
        usable_engine("tvm")
    assert f"{name} is {version}" in caught.value.hint
    assert why in caught.value.hint
    assert "pip install 'edgepose[tvm]'" in caught.value.hint


def test_the_extra_installs_the_pinned_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["optional-dependencies"]["tvm"]
    assert {f"{name}=={version}" for name, version in pins.PINS.items()} <= set(wanted)
    for name in pins.TUNING_PACKAGES:
        assert any(requirement.startswith(name) for requirement in wanted)
