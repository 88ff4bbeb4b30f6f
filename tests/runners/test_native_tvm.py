"""The runner on TVM's runtime: what it opens, what it refuses, and how it names kernels."""

import json
import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from edgepose.bundle import Bundle
from edgepose.deadline import Deadline
from edgepose.engines.tvm import engine
from edgepose.engines.tvm.hardware import tvm_target
from edgepose.engines.tvm.steps import LIBRARY, CompileRequest, compile_apart
from edgepose.errors import ToolchainError
from edgepose.files import sha256_file
from edgepose.runners import native_tvm
from edgepose.runners.glibc import needed_glibc, require_glibc
from edgepose.runners.native_tvm import (
    FFI_LIBRARY,
    RUNTIME_LIBRARY,
    tvm_runner,
    tvm_runtime,
    tvm_server,
)
from edgepose.runners.toolchain import find_dynamic_toolchain, run_tool
from edgepose.targets import load_target
from tests.runners.conftest import assert_fails, lines_of, runner_of, start, write_plan
from tests.tiny_nets import make_model, normal, run_unoptimised

pytestmark = pytest.mark.skipif(find_spec("tvm") is None, reason="tvm is not installed")
HERE = os.uname().machine
SHAPE = (1, 8, 12, 10)


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Callable[[str], Bundle]) -> Bundle:
    return tiny_bundle("tvm-autoscheduler")


def run_altered(
    bundle: Bundle, folder: Path, mode: str = "time", *, hashes: bool = False, **artifact: Path
) -> Any:
    """Run with some of the artifact's files elsewhere, and without hashes unless wanted."""
    plan = write_plan(bundle, folder, mode)
    plan["artifact"] |= {name.replace("__", "."): str(path) for name, path in artifact.items()}
    if not hashes:
        plan["sha256"] = {}
    (folder / "plan.json").write_text(json.dumps(plan))
    return start(runner_of(bundle), folder)


def test_its_files_may_have_any_name(bundle: Bundle, tmp_path: Path) -> None:
    """On a device each lies under its hash, in a folder with those of other versions."""
    moved = {}
    for name in bundle.manifest.artifact.files:
        moved[name.replace(".", "__")] = tmp_path / sha256_file(bundle.folder / name)
        shutil.copy(bundle.folder / name, moved[name.replace(".", "__")])
    done = run_altered(bundle, tmp_path, "prove", **moved)
    assert done.returncode == 0, done.stderr


def test_the_versions_name_the_libraries_by_their_hashes(bundle: Bundle, tmp_path: Path) -> None:
    write_plan(bundle, tmp_path, "time")
    assert start(runner_of(bundle), tmp_path).returncode == 0
    versions = lines_of(tmp_path)[0]["versions"]
    assert versions["tvm"] == native_tvm.TVM_VERSION
    for name in (FFI_LIBRARY, RUNTIME_LIBRARY):
        assert versions[name] == bundle.manifest.files[name][:16]


@pytest.mark.parametrize("name", ["libtvm_ffi__so", "libtvm_runtime__so"])
@pytest.mark.parametrize("damage", ["missing", "garbage"])
def test_a_runtime_that_cannot_be_loaded_ends_with_12(
    bundle: Bundle, tmp_path: Path, name: str, damage: str
) -> None:
    library = tmp_path / "library"
    if damage == "garbage":
        library.write_bytes(b"no library")
    done = run_altered(bundle, tmp_path, **{name: library})
    assert_fails(done, tmp_path, 12, str(library))


INTERFACE = (
    *("ObjectDecRef", "FunctionGetGlobal", "FunctionSetGlobal", "FunctionCreate", "FunctionCall"),
    *("ErrorMoveFromRaised", "ErrorSetRaisedFromCStr", "StringFromByteArray"),
    *("BytesFromByteArray", "TensorFromDLPack"),
)


@pytest.mark.parametrize(
    ("functions", "message"),
    [((), "has no TVMFFIObjectDecRef"), (INTERFACE, "has interface 0.1.99")],
    ids=["older", "newer"],
)
def test_a_library_of_another_version_ends_with_12(
    bundle: Bundle, tmp_path: Path, functions: tuple[str, ...], message: str
) -> None:
    library, source = tmp_path / "other.so", tmp_path / "other.cpp"
    code = "void TVMFFIGetVersion(unsigned* v) { v[0] = 0; v[1] = 1; v[2] = 99; }\n"
    code += "".join(f"int TVMFFI{name}() {{ return 0; }}\n" for name in functions)
    source.write_text(f'extern "C" {{\n{code}}}\n')
    words = [*find_dynamic_toolchain(HERE).compiler, "-shared", "-fPIC", str(source)]
    run_tool([*words, "-o", str(library)], "compiling it", 120)
    done = run_altered(bundle, tmp_path, libtvm_ffi__so=library)
    assert_fails(done, tmp_path, 12, f"libtvm_ffi.so {message}")


def test_an_artifact_without_its_runtime_ends_with_10(bundle: Bundle, tmp_path: Path) -> None:
    plan = write_plan(bundle, tmp_path, "time")
    del plan["artifact"][RUNTIME_LIBRARY]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    done = start(runner_of(bundle), tmp_path)
    assert_fails(done, tmp_path, 10, f"the artifact lacks {RUNTIME_LIBRARY}")


def test_a_model_that_is_not_there_ends_with_13(bundle: Bundle, tmp_path: Path) -> None:
    done = run_altered(bundle, tmp_path, model__so=tmp_path / "nowhere")
    assert_fails(done, tmp_path, 13, "nowhere does not exist")


def test_a_library_that_is_no_model_ends_with_13(bundle: Bundle, tmp_path: Path) -> None:
    done = run_altered(bundle, tmp_path, model__so=bundle.folder / FFI_LIBRARY)
    assert_fails(done, tmp_path, 13, "TVM refuses the compiled model")


def test_a_model_for_another_cpu_ends_with_13(bundle: Bundle, tmp_path: Path) -> None:
    content = bytearray((bundle.folder / "model.so").read_bytes())
    content[18] = 0x08  # the CPU in the header: MIPS
    (tmp_path / "foreign.so").write_bytes(content)
    done = run_altered(bundle, tmp_path, model__so=tmp_path / "foreign.so")
    assert_fails(done, tmp_path, 13, "TVM refuses the compiled model")


def test_a_plan_with_more_inputs_than_the_model_ends_with_13(
    bundle: Bundle, tmp_path: Path
) -> None:
    plan = write_plan(bundle, tmp_path, "time")
    plan["inputs"].append({"name": "second", "shape": [1]})
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert_fails(start(runner_of(bundle), tmp_path), tmp_path, 13, "model.so has 1, the plan 2")


def test_layers_cannot_be_traced(bundle: Bundle, tmp_path: Path) -> None:
    write_plan(bundle, tmp_path, "trace", reference_options={})
    assert_fails(start(runner_of(bundle), tmp_path), tmp_path, 10, "cannot trace")


@pytest.fixture(scope="module")
def pair_net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a net of two inputs and two outputs, none in the order of the alphabet.

    ``model.onnx``, ``model.so``, and ``y.npy`` and ``x.npy`` of different sizes. Three of its
    convolutions have one and the same kernel.
    """
    folder = tmp_path_factory.mktemp("pair")
    weights = {f"w{i}": normal(8, 8, 3, 3, seed=i) / 8 for i in range(4)}
    pads = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["y", "w0"], ["a"], **pads),
        helper.make_node("Conv", ["a", "w1"], ["b"], **pads),
        helper.make_node("Conv", ["b", "w2"], ["second"], **pads),
        helper.make_node("Conv", ["x", "w3"], ["first"]),
    ]
    inputs = {"y": SHAPE, "x": (1, 8, 5, 5)}
    outputs = {"second": SHAPE, "first": (1, 8, 3, 3)}
    onnx.save(make_model(nodes, inputs, outputs, weights), str(folder / "model.onnx"))
    request = CompileRequest(
        onnx=str(folder / "model.onnx"), target=tvm_target(load_target("host")), records=None
    )
    compile_apart(request, folder, Deadline.after(300))
    for name, shape in inputs.items():
        np.save(folder / f"{name}.npy", normal(*shape, seed=9))
    return folder


def plan_for_pair(folder: Path, net: Path, mode: str) -> Path:
    """Write a plan for the net; returns the runner."""
    wanted = run_unoptimised(
        net / "model.onnx", {name: np.load(net / f"{name}.npy") for name in ("y", "x")}
    )
    for name, output in wanted.items():
        np.save(folder / f"{name}.npy", output)
    files = {name: str(path) for name, path in tvm_runtime(HERE).items()}
    plan = {
        "protocol": 1,
        "run_id": "run-7",
        "mode": mode,
        "engine": "tvm",
        "artifact": {**files, "model.so": str(net / LIBRARY)},
        "options": {},
        "inputs": [{"name": "y", "shape": SHAPE}, {"name": "x", "shape": [1, 8, 5, 5]}],
        "outputs": [{"name": name, "shape": array.shape} for name, array in wanted.items()],
        "golden": [
            {
                "name": "case",
                "inputs": {name: str(net / f"{name}.npy") for name in ("x", "y")},
                "outputs": {name: str(folder / f"{name}.npy") for name in wanted},
            }
        ],
        "sha256": {},
        **{"threads": 1, "cpus": None, "warmup_min": 1, "warmup_max": 1, "runs": 3},
        **{"gate": {}, "sensor_period_s": 0},
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    return tvm_runner(HERE)


def test_several_inputs_and_outputs_keep_the_model_s_order(pair_net: Path, tmp_path: Path) -> None:
    done = start(plan_for_pair(tmp_path, pair_net, "prove"), tmp_path)
    assert done.returncode == 0, done.stderr
    proofs = {line["output"]: line for line in lines_of(tmp_path) if line["kind"] == "proof"}
    assert set(proofs) == {"first", "second"}
    assert max(line["max_relative_error"] for line in proofs.values()) < 1e-5


def test_a_kernel_that_is_called_again_is_another_layer(pair_net: Path, tmp_path: Path) -> None:
    done = start(plan_for_pair(tmp_path, pair_net, "profile"), tmp_path)
    assert done.returncode == 0, done.stderr
    layers = [line for line in lines_of(tmp_path) if line["kind"] == "layer"]
    names = [layer["name"] for layer in layers if "conv" in layer["type"]]
    first = names[0]
    assert {first, f"{first}#2", f"{first}#3"} < set(names)
    assert len(names) == 4
    assert {layer["type"] for layer in layers if layer["name"].startswith(first)} == {"conv2d"}


def test_equal_sources_give_the_programs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = [tvm_runner(HERE), tvm_server(HERE)]
    monkeypatch.setattr(native_tvm, "run_tool", None)  # whoever calls it now fails
    assert [tvm_runner(HERE), tvm_server(HERE)] == first


def test_the_runtime_is_the_installed_one_of_the_pinned_versions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = tvm_runtime(HERE)
    assert set(found) == {FFI_LIBRARY, RUNTIME_LIBRARY}
    assert all(path.name == name and path.is_file() for name, path in found.items())
    monkeypatch.setattr(native_tvm, "package_version", lambda name: "0.1.15.post2")
    with pytest.raises(ToolchainError, match=r"0\.1\.15\.post2, .* is needed") as caught:
        tvm_runtime(HERE)
    assert "apache-tvm-ffi==0.1.14.post1" in caught.value.hint


@pytest.mark.skipif(HERE == "x86_64", reason="it is this host's own CPU")
def test_a_cpu_without_a_runtime_is_refused() -> None:
    with pytest.raises(ToolchainError, match="no TVM runtime for x86_64"):
        tvm_runtime("x86_64")


def test_the_c_library_that_is_needed_is_told() -> None:
    libraries = [path.read_bytes() for path in tvm_runtime(HERE).values()]
    assert needed_glibc(libraries) == (2, 27)
    assert needed_glibc([tvm_runner(HERE).read_bytes()]) >= (2, 16)
    assert needed_glibc([b"no ELF file"]) == (0, 0)
    assert needed_glibc([b"\0GLIBC_2.2.5\0GLIBC_2.17\0", b"\0GLIBC_2.4\0"]) == (2, 17)


def test_a_target_with_an_older_c_library_is_refused_at_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "runner"
    program.write_bytes(b"\0GLIBC_2.34\0GLIBC_2.17\0")
    monkeypatch.setattr(engine, "tvm_runner", lambda arch: program)
    with pytest.raises(ToolchainError, match=r"needs glibc 2.34, the device has glibc 2\.27"):
        engine.ENGINE.runner(load_target("jetson-nano"))
    assert engine.ENGINE.runner(load_target("rpi4")).content == program.read_bytes()


def test_a_c_library_is_old_enough_newer_or_not_judged(tmp_path: Path) -> None:
    program = tmp_path / "runner"
    program.write_bytes(b"\0GLIBC_2.34\0GLIBC_2.17\0")
    for libc in ("glibc 2.34", "glibc 2.36.1", "musl", ""):
        require_glibc(program, libc)
    for libc in ("glibc 2.27", "glibc 2.9"):
        with pytest.raises(
            ToolchainError, match=f"needs glibc 2.34, the device has {libc}"
        ) as caught:
            require_glibc(program, libc)
        assert "pip install ziglang" in caught.value.hint
