"""Every documented exit code, each provoked for real: one paragraph, one hint, nothing printed."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from safetensors.numpy import save_file

from edgepose.bench.store import RecordStore
from edgepose.bundle import Bundle
from tests.bench.under_way import result_of, runner_of, runs, wait_for
from tests.cli.conftest import Edgepose, Finished
from tests.own_cache import own_cache
from tests.tiny_bundles import build_tiny, save_tiny_model, with_false_golden_outputs
from tests.tiny_nets import make_model

IMPOSSIBLE_RECIPE = """\
title = "asks for a cosine that does not exist"
engine = "onnxruntime"
precision = "fp32"

[gates.tensor]
max_relative_error = 1.0
mean_relative_error = 1.0
min_cosine = 2.0

[gates.keypoint]
max_mean_drift_px = 1.0
max_drift_px = 1.0
min_oks = 0.0
"""


def assert_fails(done: Finished, code: int, *texts: str) -> None:
    """``code``, nothing on stdout, ``error:`` and ``hint:`` last on stderr, holding ``texts``."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    error, hint = done.stderr.splitlines()[-2:]
    assert error.startswith("error: ")
    assert hint.startswith("hint: ") and len(hint) > len("hint: ")
    for text in texts:
        assert text in error + hint
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["models", "litepose-xz"], "unknown model 'litepose-xz'. Nearest: litepose-xs"),
        (["build", "rtmpos-s"], "unknown model 'rtmpos-s'. Nearest: rtmpose-s"),
        (["build", "litepose-xs", "--target", "rpi44"], "'rpi44'. Nearest: rpi4"),
        (["targets", "jetson-nan"], "'jetson-nan'. Nearest: jetson-nano"),
        (["build", "litepose-xs", "--recipe", "ncnn-fp61"], "'ncnn-fp61'. Nearest: ncnn-fp16"),
        (["recipes", "ncn-fp32"], "'ncn-fp32'. Nearest: ncnn-fp32"),
        (["bench", "litepose-xs", "--device", "lokal"], "'lokal'. Nearest: local"),
        (["device", "doctor", "locall"], "'locall'. Nearest: local"),
        (["build", "nowhere.onnx"], "there is no file nowhere.onnx"),
        (["bench"], "there is no bundle for host below ./build"),
        (["report"], "there are no such records"),
        (["device", "trust", "local"], "there is no host key to trust"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_2_for_what_does_not_exist_with_the_nearest_names(
    edgepose: Edgepose, words: list[str], text: str
) -> None:
    assert_fails(edgepose(*words), 2, text)


def test_2_for_a_recipe_that_the_target_does_not_allow(edgepose: Edgepose) -> None:
    Path("recipes").mkdir()
    Path("recipes/mine.toml").write_text(IMPOSSIBLE_RECIPE)
    done = edgepose("build", "litepose-xs", "--target", "rpi4", "--recipe", "mine")
    assert_fails(done, 2, "recipe 'mine' is not allowed on target 'rpi4'", "onnxruntime-fp32")


def test_2_for_a_key_that_a_file_may_not_have(edgepose: Edgepose) -> None:
    Path("recipes").mkdir()
    Path("recipes/mine.toml").write_text(f"presicion = 'fp32'\n{IMPOSSIBLE_RECIPE}")
    assert_fails(edgepose("recipes", "mine"), 2, "unknown key 'presicion'", "'precision'")


def test_2_for_a_bundle_that_is_for_another_target(edgepose: Edgepose, tmp_path: Path) -> None:
    bundle = build_tiny(tmp_path / "model", target="rpi4")
    assert_fails(edgepose("bench", bundle.folder), 2, "was not built for device 'local'")


@pytest.mark.parametrize("words", [["--profile", "truss"], ["--budget", "5x"], ["--threads", "0"]])
def test_2_for_an_option_that_makes_no_sense_before_anything_is_built(
    edgepose: Edgepose, words: list[str]
) -> None:
    done = edgepose("bench", "litepose-xs", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"argument {words[0]}: " in done.stderr and words[1] in done.stderr
    assert not list(Path.cwd().iterdir())


def test_3_for_weights_of_another_model_with_the_keys(edgepose: Edgepose) -> None:
    save_file({"backbone.stem.weight": np.zeros((1, 2), np.float32)}, "wrong.safetensors")
    done = edgepose("build", "litepose-xs", "--weights", "wrong.safetensors", "-o", "bundle")
    assert_fails(done, 3, "missing", "backbone.stem.weight")
    assert not Path("bundle").exists()


def test_3_for_an_onnx_file_of_dynamic_shape_with_the_input(edgepose: Edgepose) -> None:
    node = helper.make_node("Relu", ["image"], ["y"])
    shape = ["batch", 3, 64, 48]
    onnx.save(make_model([node], {"image": shape}, {"y": shape}), "dynamic.onnx")
    assert_fails(edgepose("build", "dynamic.onnx"), 3, "image", "batch")
    assert not Path("build").exists()


def test_4_for_outputs_that_are_not_the_models(edgepose: Edgepose, tmp_path: Path) -> None:
    Path("recipes").mkdir()
    Path("recipes/onnxruntime-fp32.toml").write_text(IMPOSSIBLE_RECIPE)
    model = save_tiny_model(tmp_path)
    done = edgepose("build", model)
    assert_fails(done, 4, "is not proven: output 'heatmaps': cosine", "is below 2", "precision")
    assert not Path("build").exists()
    allowed = edgepose("build", model, "--allow-unproven")
    assert allowed.returncode == 0
    assert "proof FAILED" in allowed.stdout


@pytest.mark.parametrize("command", ["verify", "bench"])
def test_5_for_a_truncated_bundle_with_the_file(
    edgepose: Edgepose, tiny: Bundle, command: str
) -> None:
    shutil.copytree(tiny.folder, "bundle")
    artifact = Path("bundle/model.onnx")
    artifact.write_bytes(artifact.read_bytes()[:-100])
    assert_fails(edgepose(command, "bundle"), 5, "the file model.onnx is corrupt or truncated")
    artifact.unlink()
    assert_fails(edgepose(command, "bundle"), 5, "the file model.onnx is missing")


def test_6_for_a_host_that_does_not_answer_with_its_address(
    edgepose: Edgepose, tiny: Bundle
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    place = ("--ssh", "pi@127.0.0.1", "--port", port)
    assert edgepose("device", "add", "gone", "--target", "host", *place).returncode == 0
    address = f"cannot reach 127.0.0.1:{port}: Connection refused"
    assert_fails(edgepose("bench", tiny.folder, "--device", "gone"), 6, address)
    assert_fails(edgepose("device", "trust", "gone"), 6, address)
    assert_fails(edgepose("device", "setup", "gone"), 6, address)
    doctor = edgepose("device", "doctor", "gone")
    assert doctor.returncode == 6
    assert address in doctor.stdout
    assert not RecordStore().path.exists()


def test_6_for_something_else_that_listens_in_one_paragraph(edgepose: Edgepose) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        add = ("device", "add", "odd", "--target", "host", "--ssh", f"pi@127.0.0.1:{port}")
        assert edgepose(*add).returncode == 0
        with ThreadPoolExecutor(1) as pool:
            closing = pool.submit(lambda: server.accept()[0].close())
            done = edgepose("device", "setup", "odd")
            closing.result()
    assert_fails(done, 6, f"cannot reach 127.0.0.1:{port}")
    assert len(done.stderr.splitlines()) == 3  # the first says what it is doing


def test_7_for_a_refused_record_whose_table_and_reason_are_shown(
    edgepose: Edgepose, tiny: Bundle, tmp_path: Path
) -> None:
    done = edgepose("bench", with_false_golden_outputs(tiny, tmp_path / "false").folder)
    assert done.returncode == 7
    assert "REFUSED: proof failed" in done.stdout
    assert "refused: tiny (onnxruntime-fp32): proof failed: output 'heatmaps':" in done.stderr
    assert len(RecordStore().latest()) == 1


@pytest.mark.parametrize(
    ("disturb", "code"), [(signal.SIGKILL, 7), (signal.SIGINT, 130)], ids=["7", "130"]
)
def test_7_for_a_killed_runner_and_130_for_an_interrupted_command(
    edgepose: Edgepose,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    disturb: signal.Signals,
    code: int,
) -> None:
    monkeypatch.setenv("EDGEPOSE_CACHE", own_cache(tmp_path / "cache"))
    bundle = build_tiny(tmp_path, "slow", channels=512)
    words = ["bench", str(bundle.folder), "--profile", "paper"]
    with subprocess.Popen(
        [sys.executable, "-m", "edgepose.cli.main", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        wait_for(lambda: result_of("p0"))
        runner = wait_for(lambda: runner_of("p0"))
        os.kill(runner if code == 7 else command.pid, disturb)
        stdout, stderr = command.communicate(timeout=60)
    assert (command.returncode, stdout) == (code, "")
    last = "hint: Out of memory" if code == 7 else "interrupted"
    assert stderr.splitlines()[-1].startswith(last)
    assert runner_of("p0") is None
    assert not list(runs().iterdir())
