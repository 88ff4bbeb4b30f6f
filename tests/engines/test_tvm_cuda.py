"""TVM for a Jetson's GPU as far as it goes without one: plan, source, what the kernels compute.

Their speed is not looked at anywhere: no GPU is here.
"""

import json
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import helper

from edgepose.build import build
from edgepose.bundle import Bundle, judge_bundle, make_plan
from edgepose.config import load_json
from edgepose.engines.base import Artifact
from edgepose.engines.tvm.cuda import TUNER, compile_for_gpu, cuda_target
from edgepose.engines.tvm.cuda_on_host import driver_on_cpu
from edgepose.engines.tvm.cuda_plan import KERNELS, LAUNCHES, SOURCE, WEIGHTS, LaunchPlan
from edgepose.errors import ConfigError, UsageError
from edgepose.model_source import find_source
from edgepose.prepare import graph_key, prepare
from edgepose.prove.on_host import outputs_on_host, way_to_prove
from edgepose.recipes import load_recipe
from edgepose.runners.native_tvm import tvm_runner
from edgepose.runners.plan import Plan
from edgepose.targets import load_target
from tests.own_cache import own_cache
from tests.tiny_nets import make_model, normal

NANO = load_target("jetson-nano")
NVCC = shutil.which("nvcc")
# CUDA 13 has dropped everything older; 10.2, which the Nano has, compiles C++14.
NEAREST = ["-arch=sm_75", "-std=c++14"]


def save_net(path: Path) -> Path:
    """All kinds of kernels: matrix products, sums across threads, scratch memory, plain copies."""
    weights = {
        "dense": normal(16, 3, 3, 3, seed=1) / 5,
        "depthwise": normal(16, 1, 3, 3, seed=2) / 3,
        "squeezed": normal(16, 16, 1, 1, seed=3) / 4,
        "up": normal(16, 8, 4, 4, seed=4) / 8,
        "matrix": normal(64, 40, seed=5) / 8,
        "tokens": np.array([1, 16, 64]),
        "low": np.array(0, np.float32),
        "high": np.array(6, np.float32),
    }
    node = helper.make_node
    nodes = [
        node("Conv", ["input", "dense"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Clip", ["a", "low", "high"], ["b"]),
        node("Conv", ["b", "depthwise"], ["c"], pads=[1, 1, 1, 1], group=16),
        node("GlobalAveragePool", ["c"], ["mean"]),
        node("Conv", ["mean", "squeezed"], ["s"]),
        node("Sigmoid", ["s"], ["scale"]),
        node("Mul", ["c", "scale"], ["d"]),
        node("ConvTranspose", ["d", "up"], ["map"], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Reshape", ["d", "tokens"], ["t"]),
        node("Softmax", ["t"], ["attention"], axis=-1),
        node("MatMul", ["attention", "matrix"], ["vector"]),
    ]
    shapes = {"input": [1, 3, 16, 16]}, {"map": [1, 8, 16, 16], "vector": [1, 16, 40]}
    onnx.save(make_model(nodes, *shapes, weights), str(path))
    return path


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cuda")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEPOSE_CACHE", own_cache(folder / "cache"))
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module", params=["tvm-cuda", "tvm-cuda-256"])
def bundle(request: pytest.FixtureRequest, own_folder: Path) -> Bundle:
    net = save_net(own_folder / "net.onnx")
    place = own_folder / request.param
    return build(str(net), target="jetson-nano", recipe=request.param, into=place)


def plan_of(folder: Path) -> LaunchPlan:
    return load_json(folder / LAUNCHES, LaunchPlan)


def most_threads(plan: LaunchPlan) -> int:
    return max(x * y * z for x, y, z in (launch.block for launch in plan.launches))


def assert_whole(folder: Path) -> None:
    """Every launch is of a kernel in the source, and on memory of the arena."""
    plan, source = plan_of(folder), (folder / SOURCE).read_text()
    assert (folder / WEIGHTS).stat().st_size == plan.weights_bytes <= plan.arena_bytes
    for launch in plan.launches:
        assert f" {launch.kernel}(" in source
        assert all(0 <= offset < plan.arena_bytes for offset in launch.offsets)
        assert min(*launch.grid, *launch.block) >= 1
        assert max(launch.grid[1:]) < 2**16
    assert set(plan.inputs.values()).isdisjoint(plan.outputs.values())


def compiled_by_nvcc(source: Path, into: Path) -> bytes:
    words = ["nvcc", *NEAREST, "-w", "-cubin", "-o", str(into), str(source)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return into.read_bytes()


def test_the_kernels_compute_the_nets_outputs_and_the_bundle_says_what_it_is(
    bundle: Bundle,
) -> None:
    manifest = bundle.manifest
    assert manifest.proof.passed
    assert manifest.proof.where == "GPU kernels compiled for this host's CPU"
    assert {tensor.output for tensor in manifest.proof.tensors} == {"map", "vector"}
    assert manifest.tuning and (manifest.tuning.tuned, manifest.tuning.tuner) == ("no", TUNER)
    assert manifest.tuning.tasks > 5
    assert_whole(bundle.folder)


def test_the_recipe_bounds_the_threads_of_a_block(bundle: Bundle) -> None:
    most = most_threads(plan_of(bundle.folder))
    if bundle.manifest.recipe.name == "tvm-cuda-256":
        assert most == 256
        assert "__launch_bounds__(1024)" not in (bundle.folder / SOURCE).read_text()
    else:
        assert most == 1024


def test_the_small_net_has_every_kind_of_kernel(bundle: Bundle) -> None:
    source = (bundle.folder / SOURCE).read_text()
    assert "__syncthreads()" in source
    assert "__shfl_down_sync(" in source
    calls = [launch.kernel for launch in plan_of(bundle.folder).launches]
    assert any(kernel.endswith("_kernel_2") for kernel in calls)  # with scratch between them


@pytest.mark.parametrize(
    ("right", "wrong"),
    [(" = max(", " = min("), ("__syncthreads();", ""), ("__shfl_down_sync(", "__shfl_up_sync(")],
    ids=["clip", "barrier", "shuffle"],
)
def test_a_kernel_that_computes_something_else_is_not_proven(
    bundle: Bundle, right: str, wrong: str, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(bundle.folder, tmp_path / "wrong"))
    source = (folder / SOURCE).read_text()
    assert right in source
    (folder / SOURCE).write_text(source.replace(right, wrong))
    way = way_to_prove(folder / "runner", NANO, bundle.manifest.recipe)
    outputs = outputs_on_host(plan_for(bundle, folder), way.command)
    assert not judge_bundle(bundle, outputs, where=way.where).passed


def plan_for(bundle: Bundle, folder: Path, **made_there: str) -> Plan:
    """A plan for the bundle's files in ``folder``, whatever their hashes."""
    manifest = bundle.manifest
    paths = {name: str(folder / name) for name in manifest.files}
    plan = make_plan(manifest, "prove", "run", {**paths, **made_there}, runs=1)
    return msgspec.structs.replace(plan, sha256={})


def run_here(plan: Plan, folder: Path) -> tuple[int, str]:
    """Exit code and message of this host's runner, which must end early."""
    folder.mkdir()
    (folder / "plan.json").write_bytes(plan.encode())
    runner = str(tvm_runner(platform.machine()))
    code = subprocess.run([runner, str(folder)], capture_output=True, timeout=60).returncode
    lines = (folder / "result.jsonl").read_text().splitlines()
    return code, json.loads(lines[-2])["message"]


def test_the_runner_says_what_is_missing_on_the_device(bundle: Bundle, tmp_path: Path) -> None:
    kernels = tmp_path / "model.cubin"
    kernels.write_text("made by the device")
    nothing = plan_for(bundle, bundle.folder, **{KERNELS: str(kernels)})
    options = {**nothing.options, "driver": "libedgepose-no-driver.so"}
    without_driver = msgspec.structs.replace(nothing, options=options)
    code, message = run_here(without_driver, tmp_path / "no-driver")
    assert (code, message[:15]) == (12, "no CUDA driver:")
    newer = driver_on_cpu(bundle.folder / SOURCE, "sm_75")
    options = {**nothing.options, "driver": str(newer)}
    foreign = msgspec.structs.replace(nothing, options=options)
    code, message = run_here(foreign, tmp_path / "foreign")
    assert code == 13
    assert "are for sm_53" in message and "is sm_75" in message
    not_compiled = msgspec.structs.replace(plan_for(bundle, bundle.folder), options=options)
    older = {**options, "driver": str(driver_on_cpu(bundle.folder / SOURCE, "sm_53"))}
    not_compiled = msgspec.structs.replace(not_compiled, options=older)
    code, message = run_here(not_compiled, tmp_path / "not-compiled")
    assert code == 10
    assert KERNELS in message


@pytest.mark.skipif(NVCC is None, reason="nvcc is not installed")
def test_nvcc_compiles_the_source_for_the_nearest_gpu_that_it_knows(
    bundle: Bundle, tmp_path: Path
) -> None:
    made = compiled_by_nvcc(bundle.folder / SOURCE, tmp_path / "model.cubin")
    kernels = {launch.kernel for launch in plan_of(bundle.folder).launches}
    assert {kernel for kernel in kernels if kernel.encode() not in made} == set()


@pytest.mark.parametrize("model", ["litepose-xs", "rtmpose-t"])
def test_every_operator_of_the_papers_nets_gets_a_kernel(
    model: str, own_folder: Path, tmp_path: Path
) -> None:
    source = find_source(model, None, False)
    recipe = load_recipe("tvm-cuda")
    graph = prepare(source, 17, None, graph_key(source, 17, None), False).graph
    artifact: Artifact = compile_for_gpu(graph, NANO, recipe, tmp_path)
    assert artifact.files == (LAUNCHES, WEIGHTS, SOURCE)
    assert_whole(tmp_path)
    assert set(plan_of(tmp_path).outputs) == {tensor.name for tensor in graph.outputs}
    if NVCC:
        compiled_by_nvcc(tmp_path / SOURCE, tmp_path / "model.cubin")


def test_a_target_without_cuda_is_refused() -> None:
    with pytest.raises(UsageError, match="rpi4"):
        cuda_target(load_target("rpi4"), load_recipe("tvm-cuda"))


@pytest.mark.parametrize("threads", [0, 100, 2048, "256"])
def test_threads_that_no_gpu_has_are_refused(threads: object) -> None:
    options = {"device": "cuda", "max_num_threads": threads}
    recipe = msgspec.structs.replace(load_recipe("tvm-cuda"), options=options)
    with pytest.raises(ConfigError, match="max_num_threads"):
        cuda_target(NANO, recipe)


@pytest.mark.parametrize(
    ("target", "arch"),
    [("jetson-nano", "sm_53"), ("jetson-xavier-nx", "sm_72"), ("jetson-orin-nano", "sm_87")],
)
def test_the_target_file_tells_the_architecture(target: str, arch: str) -> None:
    assert cuda_target(load_target(target), load_recipe("tvm-cuda")).arch == arch
