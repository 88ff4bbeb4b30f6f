"""What PROTOCOL.md promises, asked of real runner processes."""

import hashlib
import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.bundle import Bundle
from edgepose.files import sha256_file
from edgepose.runners.pack import PYTHON_RUNNER
from edgepose.runners.plan import decoder_of
from edgepose.runners.result import read_result
from tests.runners.conftest import Run, assert_fails, lines_of, runner_of, start, write_plan

ENGINES = {
    "onnxruntime-fp32": "onnxruntime",
    "openvino-fp32": "openvino",
    "ncnn-fp32": "ncnn",
    "tvm-autoscheduler": "tvm",
}
TVM_LIBRARIES = {"libtvm_ffi.so", "libtvm_runtime.so"}


def kinds(folder: Path) -> list[str]:
    return [line["kind"] for line in lines_of(folder)]


@pytest.fixture
def python_bundle(bundle: Bundle) -> Bundle:
    if bundle.manifest.runner != PYTHON_RUNNER:
        pytest.skip("the native runner imports nothing")
    return bundle


def test_prove_writes_its_lines_in_order_and_ends_with_0(bundle: Bundle, run: Run) -> None:
    done, folder = run(bundle, "prove")
    assert done.returncode == 0, done.stderr
    cases = len(bundle.manifest.golden)
    assert cases > 1
    assert kinds(folder) == ["header", *["proof"] * cases, "estimate", "memory", "footer"]


def test_the_header_says_what_runs_where(bundle: Bundle, run: Run) -> None:
    core = min(os.sched_getaffinity(0))
    _, folder = run(bundle, "time", cpus=(core, 4095))
    header = lines_of(folder)[0]
    age = datetime.now(UTC) - datetime.fromisoformat(header["started_at"])
    assert header["protocol"] == 1
    assert header["run_id"] == "run-7"
    native = bundle.manifest.runner == "runner"
    assert header["runner"] == ("native" if native else "python")
    assert header["cpus"] == [core]
    assert header["threads"] == 1
    assert header["load_ms"] > 0
    assert 0 <= age.total_seconds() < 120
    around = set() if native else {"numpy", "python"}
    engine = ENGINES[bundle.manifest.recipe.name]
    around |= TVM_LIBRARIES if engine == "tvm" else set()
    assert set(header["versions"]) == {engine, *around}
    assert header.get("computed_in") == ("fp32" if engine == "openvino" else None)
    assert header["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_cores_that_do_not_exist_leave_the_run_unpinned(bundle: Bundle, run: Run) -> None:
    done, folder = run(bundle, "time", cpus=(4094, 4095))
    assert done.returncode == 0
    assert lines_of(folder)[0]["cpus"] is None


def test_prove_saves_outputs_that_fit_its_figures(bundle: Bundle, run: Run) -> None:
    _, folder = run(bundle, "prove")
    golden = {case.name: case for case in bundle.golden()}
    proofs = [line for line in lines_of(folder) if line["kind"] == "proof"]
    assert {line["case"] for line in proofs} == set(golden)
    for line in proofs:
        saved = np.load(folder / line["file"])
        wanted = golden[line["case"]].outputs[line["output"]]
        assert line["sha256"] == sha256_file(folder / line["file"])
        assert line["finite"] is True
        assert line["cosine"] > 0.9999
        assert saved.dtype == np.float32
        error = np.abs(saved.astype(np.float64) - wanted).max() / np.abs(wanted).max()
        assert line["max_relative_error"] == pytest.approx(error, rel=1e-6, abs=1e-12)
        assert error < 1e-4


def test_prove_estimates_the_latency_and_the_memory(bundle: Bundle, run: Run) -> None:
    _, folder = run(bundle, "prove")
    estimate, memory = lines_of(folder)[-3:-1]
    assert estimate["ns"]
    assert all(1_000 < ns < 10e9 for ns in estimate["ns"])
    assert 1 < memory["peak_rss_mib"] < 10_000


def test_time_writes_exactly_what_was_planned(bundle: Bundle, run: Run) -> None:
    done, folder = run(bundle, "time", warmup_min=4, warmup_max=4, runs=9)
    assert done.returncode == 0, done.stderr
    assert kinds(folder) == ["header", "warmup", "samples", "outputs", "memory", "footer"]
    result = read_result((folder / "result.jsonl").read_bytes(), "run-7")
    warmup, samples = result.one("warmup"), result.one("samples")
    assert len(warmup["ns"]) == 4
    assert warmup["converged"] is None
    assert len(samples["ns"]) == 9
    assert all(isinstance(ns, int) and ns > 0 for ns in samples["ns"])
    assert samples["wall_ns"] >= sum(samples["ns"])


def test_time_measures_the_processor_time_of_its_loop(bundle: Bundle, run: Run) -> None:
    _, folder = run(bundle, "time", runs=3000)  # the kernel may count in steps of 10 ms
    samples = read_result((folder / "result.jsonl").read_bytes(), "run-7").one("samples")
    assert samples["wall_ns"] > 20e6
    assert 0 < samples["cpu_ns"] <= 1.2 * samples["wall_ns"] + 20e6


def test_a_warmup_with_a_cap_says_whether_it_converged(bundle: Bundle, run: Run) -> None:
    _, folder = run(bundle, "time", warmup_min=42, warmup_max=67)
    warmup = next(line for line in lines_of(folder) if line["kind"] == "warmup")
    assert isinstance(warmup["converged"], bool)
    assert 42 <= len(warmup["ns"]) <= 67
    assert warmup["converged"] or len(warmup["ns"]) == 67


def test_time_hashes_the_outputs_of_the_first_golden_input(
    bundle: Bundle, run: Run, tmp_path: Path
) -> None:
    _, timed = run(bundle, "time")
    line = next(line for line in lines_of(timed) if line["kind"] == "outputs")
    write_plan(bundle, tmp_path, "prove")
    assert start(runner_of(bundle), tmp_path).returncode == 0
    first = bundle.manifest.golden[0].name
    expected = {
        proof["output"]: hashlib.sha256(np.load(tmp_path / proof["file"]).tobytes()).hexdigest()
        for proof in lines_of(tmp_path)
        if proof["kind"] == "proof" and proof["case"] == first
    }
    assert line["same_as_first"] is True
    assert line["sha256"] == expected


def test_the_footer_counts_and_hashes_all_that_precedes_it(bundle: Bundle, run: Run) -> None:
    _, folder = run(bundle, "time")
    *body, last = (folder / "result.jsonl").read_bytes().splitlines(keepends=True)
    footer = json.loads(last)
    assert footer["lines"] == len(body)
    assert footer["sha256"] == hashlib.sha256(b"".join(body)).hexdigest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": 2}, "protocol 2"),
        ({"protocol": None}, "protocol None"),
        ({"mode": "guess"}, "guess"),
        ({"engine": "tflite"}, "tflite"),
        ({"golden": ...}, "lacks golden"),
        ({"sha256": ...}, "lacks sha256"),
        ({"threads": ..., "runs": ...}, "lacks threads, runs"),
    ],
    ids=str,
)
def test_a_malformed_plan_ends_with_10(
    bundle: Bundle, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    plan = write_plan(bundle, tmp_path, "prove") | change
    plan = {key: value for key, value in plan.items() if value is not ...}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert_fails(start(runner_of(bundle), tmp_path), tmp_path, 10, message)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '"plan"'])
def test_a_plan_that_is_no_object_ends_with_10(bundle: Bundle, tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)
    assert_fails(start(runner_of(bundle), tmp_path), tmp_path, 10, "plan.json")


@pytest.mark.parametrize("damage", ["altered", "missing"])
def test_a_file_that_is_not_the_planned_one_ends_with_11(
    bundle: Bundle, tmp_path: Path, damage: str
) -> None:
    copy, folder = copy_of(bundle, tmp_path), tmp_path / "run"
    folder.mkdir()
    write_plan(copy, folder, "prove")
    victim = copy.folder / copy.manifest.artifact.files[-1]
    if damage == "missing":
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[:-1] + b"\x55")
    assert_fails(start(runner_of(copy), folder), folder, 11, str(victim))


def copy_of(bundle: Bundle, tmp_path: Path) -> Bundle:
    shutil.copytree(bundle.folder, tmp_path / "copy")
    return Bundle(tmp_path / "copy", bundle.manifest)


def test_a_python_without_numpy_ends_with_12(python_bundle: Bundle, tmp_path: Path) -> None:
    write_plan(python_bundle, tmp_path, "prove")
    done = start(runner_of(python_bundle), tmp_path, python=["-I", "-S"])
    assert_fails(done, tmp_path, 12, "numpy cannot be imported")


def test_a_python_without_the_runtime_ends_with_12(python_bundle: Bundle, tmp_path: Path) -> None:
    write_plan(python_bundle, tmp_path, "prove")
    only_numpy = tmp_path / "site"
    only_numpy.mkdir()
    for package in ("numpy", "numpy.libs"):
        (only_numpy / package).symlink_to(Path(np.__file__).parent.parent / package)
    environment = os.environ | {"PYTHONPATH": str(only_numpy)}
    done = start(runner_of(python_bundle), tmp_path, python=["-S"], env=environment)
    engine = ENGINES[python_bundle.manifest.recipe.name]
    assert_fails(done, tmp_path, 12, f"{engine} cannot be imported")


def test_an_artifact_that_does_not_load_ends_with_13(bundle: Bundle, tmp_path: Path) -> None:
    copy = copy_of(bundle, tmp_path)
    victim = copy.folder / copy.manifest.artifact.files[0]
    victim.write_bytes(b"no net")
    plan = write_plan(copy, tmp_path, "time")
    plan["sha256"][str(victim)] = sha256_file(victim)
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert_fails(start(runner_of(copy), tmp_path), tmp_path, 13, "refuses")


def test_an_inference_that_fails_ends_with_15(bundle: Bundle, tmp_path: Path) -> None:
    copy = copy_of(bundle, tmp_path)
    victim = copy.folder / next(iter(copy.manifest.golden[0].inputs.values()))
    np.save(victim, np.zeros((1, 3, 8, 8), np.float32))
    plan = write_plan(copy, tmp_path, "time")
    plan["sha256"][str(victim)] = sha256_file(victim)
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    done = start(runner_of(copy), tmp_path)
    # ncnn takes any size, and then gives outputs of another one.
    engine = ENGINES[bundle.manifest.recipe.name]
    message = {
        "onnxruntime": "INVALID_ARGUMENT",
        "openvino": "openvino refuses input 'input'",
        "ncnn": "converted wrongly",
        "tvm": "shape",
    }[engine]
    assert_fails(done, tmp_path, 15, message)
    assert kinds(tmp_path)[0] == "header"


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_a_golden_tensor_that_the_model_has_not_ends_with_10(
    bundle: Bundle, tmp_path: Path, side: str
) -> None:
    if bundle.manifest.runner == PYTHON_RUNNER:
        pytest.skip("the Python runner takes what the runtime says")
    plan = write_plan(bundle, tmp_path, "prove")
    (path,) = plan["golden"][0][side].values()
    plan["golden"][0][side]["another"] = path
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    done = start(runner_of(bundle), tmp_path)
    assert_fails(done, tmp_path, 10, f"the model has no {side[:-1]} 'another'")


def test_profile_times_every_layer_in_every_pass(bundle: Bundle, run: Run) -> None:
    done, folder = run(bundle, "profile", runs=4)
    if bundle.manifest.recipe.engine == "ncnn" and bundle.manifest.runner == PYTHON_RUNNER:
        assert_fails(done, folder, 10, "the Python runner cannot profile ncnn")
        return
    assert done.returncode == 0, done.stderr
    header, *layers, memory, footer = lines_of(folder)
    assert [line["kind"] for line in (header, memory, footer)] == ["header", "memory", "footer"]
    assert {line["kind"] for line in layers} == {"layer"}
    assert sum("conv" in line["type"].lower() for line in layers) == 3
    assert len({line["name"] for line in layers}) == len(layers)
    engine = ENGINES[bundle.manifest.recipe.name]
    for line in layers:
        assert len(line["ns"]) == (1 if engine == "openvino" else 4)
        assert all(isinstance(ns, int) and 0 <= ns < 10e9 for ns in line["ns"])


def save_batch(bundle: Bundle, folder: Path, batch: Any) -> dict[str, Any]:
    """A plan of mode ``infer`` for this array."""
    path = folder / "batch.npy"
    np.save(path, batch)
    (name,) = (tensor.name for tensor in bundle.manifest.inputs)
    sent = {str(path): sha256_file(path)}
    return write_plan(bundle, folder, "infer", batch={name: str(path)}, sent=sent)


def noise(count: int) -> Any:
    return np.random.default_rng(3).standard_normal((count, 1, 3, 64, 48), np.float32)


def test_infer_gives_for_each_input_the_outputs_that_the_host_gets(
    bundle: Bundle, tmp_path: Path
) -> None:
    save_batch(bundle, tmp_path, noise(3))
    done = start(runner_of(bundle), tmp_path)
    assert done.returncode == 0, done.stderr
    assert kinds(tmp_path) == ["header", "inferred", "inferences", "memory", "footer"]
    result = read_result((tmp_path / "result.jsonl").read_bytes(), "run-7")
    line = result.one("inferred")
    saved = np.load(tmp_path / line["file"])
    assert line["sha256"] == sha256_file(tmp_path / line["file"])
    assert (saved.dtype, saved.shape) == (np.float32, (3, 1, 3, 16, 12))
    (name,) = (tensor.name for tensor in bundle.manifest.inputs)
    session = bundle.session()
    for given, found in zip(noise(3), saved, strict=True):
        wanted = session.run({name: given})[line["output"]]
        assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()
    latencies = result.one("inferences")["ns"]
    assert len(latencies) == 3
    assert all(isinstance(ns, int) and ns > 0 for ns in latencies)


def test_infer_loads_no_golden_data(bundle: Bundle, tmp_path: Path) -> None:
    plan = save_batch(bundle, tmp_path, noise(1))
    golden = {path for case in plan["golden"] for path in case["inputs"].values()}
    assert golden and not golden & set(plan["sha256"])


@pytest.mark.parametrize(
    "batch", [noise(0), noise(2)[:, 0], noise(2)[..., :7]], ids=["none", "flat", "small"]
)
def test_a_batch_of_no_inputs_of_the_model_ends_with_10(
    bundle: Bundle, tmp_path: Path, batch: Any
) -> None:
    save_batch(bundle, tmp_path, batch)
    assert_fails(start(runner_of(bundle), tmp_path), tmp_path, 10, "the batch of 'input' has")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"batch": None}, "batch"), ({"batch": {}}, "batch"), ({"batch": {"x": "/x.npy"}}, "input")],
    ids=["null", "empty", "another"],
)
def test_a_plan_without_the_model_s_inputs_ends_with_10(
    bundle: Bundle, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    plan = save_batch(bundle, tmp_path, noise(1)) | change
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert_fails(start(runner_of(bundle), tmp_path), tmp_path, 10, message)


def test_a_batch_that_was_altered_on_its_way_ends_with_11(bundle: Bundle, tmp_path: Path) -> None:
    plan = save_batch(bundle, tmp_path, noise(1))
    (path,) = plan["batch"].values()
    np.save(path, noise(1) + 1)
    assert_fails(start(runner_of(bundle), tmp_path), tmp_path, 11, "is corrupt")


def test_stages_times_network_and_decoding_in_every_pass(bundle: Bundle, run: Run) -> None:
    decoder = decoder_of(bundle.manifest.model)
    done, folder = run(bundle, "stages", runs=4, decoder=decoder)
    if bundle.manifest.runner == PYTHON_RUNNER:
        assert_fails(done, folder, 10, "unknown mode 'stages'")
        return
    assert done.returncode == 0, done.stderr
    assert kinds(folder) == ["header", "stages", "memory", "footer"]
    line = lines_of(folder)[1]
    for stage in ("network", "decode"):
        assert len(line[stage]) == 4
        assert all(isinstance(ns, int) and 0 < ns < 10e9 for ns in line[stage])
    assert line["found"] == [1, 1, 1, 1]
    assert line["wall_ns"] >= sum(line["network"]) + sum(line["decode"])


def test_stages_without_a_decoder_ends_with_10(bundle: Bundle, tmp_path: Path) -> None:
    if bundle.manifest.runner == PYTHON_RUNNER:
        pytest.skip("the Python runner has no decoders")
    write_plan(bundle, tmp_path, "stages")
    assert_fails(start(runner_of(bundle), tmp_path), tmp_path, 10, "the plan lacks decoder")


def test_with_a_decoder_infer_says_what_it_found_in_each_input(
    bundle: Bundle, tmp_path: Path
) -> None:
    plan = save_batch(bundle, tmp_path, noise(2)) | {"decoder": decoder_of(bundle.manifest.model)}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert start(runner_of(bundle), tmp_path).returncode == 0
    found = [line for line in lines_of(tmp_path) if line["kind"] == "decoded"]
    if bundle.manifest.runner == PYTHON_RUNNER:
        assert not found
        return
    assert [line["case"] for line in found] == ["0", "1"]
    assert all(np.shape(line["people"]) == (1, 3, 3) for line in found)
