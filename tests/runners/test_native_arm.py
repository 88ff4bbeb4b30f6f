"""The executable for arm64 boards and phones, under emulation: its times are no latencies."""

import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgepose.bundle import Bundle
from edgepose.errors import ToolchainError
from edgepose.runners.native_ncnn import ncnn_runner
from tests.runners.conftest import lines_of, write_plan

pytestmark = [
    pytest.mark.emulation,
    pytest.mark.skipif(not shutil.which("qemu-aarch64-static"), reason="qemu is not installed"),
    pytest.mark.timeout(3600),  # the library is built here where no test was run before
]
MOST_MIB = 3


@pytest.fixture(scope="module")
def runner() -> Path:
    try:
        return ncnn_runner("aarch64")
    except ToolchainError as error:
        pytest.skip(f"{error}")


def emulate(cpu: str, runner: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    words = ["qemu-aarch64-static", "-cpu", cpu, str(runner), str(folder)]
    return subprocess.run(words, capture_output=True, text=True, timeout=600)


def test_it_needs_no_library_on_the_device(runner: Path) -> None:
    readelf = shutil.which("readelf")
    if not readelf:
        pytest.skip("readelf is not installed")
    shown = subprocess.run([readelf, "-hld", runner], capture_output=True, text=True).stdout
    assert "AArch64" in shown
    assert "INTERP" not in shown
    assert "NEEDED" not in shown


def test_it_is_small_and_stripped(runner: Path) -> None:
    assert runner.stat().st_size <= MOST_MIB * 2**20
    assert b".symtab" not in runner.read_bytes()


@pytest.mark.parametrize(("cpu", "halves"), [("cortex-a72", False), ("cortex-a76", True)])
@pytest.mark.parametrize("recipe", ["ncnn-fp32", "ncnn-fp16"])
def test_it_proves_a_bundle_on_every_cpu_and_says_what_the_cpu_can(
    runner: Path,
    tiny_bundle: Callable[[str], Bundle],
    tmp_path: Path,
    cpu: str,
    halves: bool,
    recipe: str,
) -> None:
    bundle = tiny_bundle(recipe)
    write_plan(bundle, tmp_path, "prove", runs=1)
    done = emulate(cpu, runner, tmp_path)
    assert done.returncode == 0, done.stderr
    header, *rest = lines_of(tmp_path)
    assert ("asimdhp" in header["cpu_features"]) is halves
    proofs = [line for line in rest if line["kind"] == "proof"]
    assert len(proofs) == len(bundle.manifest.golden)
    gate = bundle.manifest.recipe.gates.tensor
    assert all(line["finite"] and line["cosine"] >= gate.min_cosine for line in proofs)
    if recipe == "ncnn-fp32":
        assert max(line["max_relative_error"] for line in proofs) < 1e-5


def test_arithmetic_in_halves_is_seen_only_where_the_cpu_has_it(
    runner: Path, tiny_bundle: Callable[[str], Bundle], tmp_path: Path
) -> None:
    errors = {}
    for cpu in ("cortex-a72", "cortex-a76"):
        (tmp_path / cpu).mkdir()
        write_plan(tiny_bundle("ncnn-fp16"), tmp_path / cpu, "prove", runs=1)
        assert emulate(cpu, runner, tmp_path / cpu).returncode == 0
        proofs = [line for line in lines_of(tmp_path / cpu) if line["kind"] == "proof"]
        errors[cpu] = max(line["max_relative_error"] for line in proofs)
    assert errors["cortex-a76"] > errors["cortex-a72"]


def test_it_times_and_profiles(runner: Path, tiny_bundle: Callable[[str], Bundle], tmp_path: Path):
    for mode in ("time", "profile"):
        (tmp_path / mode).mkdir()
        write_plan(tiny_bundle("ncnn-fp32"), tmp_path / mode, mode, sensor_period_s=0.1)
        done = emulate("cortex-a76", runner, tmp_path / mode)
        assert done.returncode == 0, done.stderr
    assert [line["kind"] for line in lines_of(tmp_path / "time")][:3] == [
        "header",
        "warmup",
        "samples",
    ]
    layers = [line for line in lines_of(tmp_path / "profile") if line["kind"] == "layer"]
    assert {"Convolution"} <= {line["type"] for line in layers}


def test_a_bundle_started_by_hand_is_proven_and_timed(
    runner: Path, tiny_bundle: Callable[[str], Bundle]
) -> None:
    done = emulate("cortex-a76", runner, tiny_bundle("ncnn-fp32").folder)
    assert done.returncode == 0, done.stderr
    assert re.search(r"median \S+ ms", done.stdout)


@pytest.mark.skipif(platform.machine() == "aarch64", reason="it runs here")
def test_this_machine_itself_cannot_start_it_without_the_emulator(runner: Path) -> None:
    header = runner.read_bytes()[:20]
    assert header[:4] == b"\x7fELF"
    assert header[18] == 0xB7  # EM_AARCH64
