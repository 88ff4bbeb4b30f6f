"""Real nets on the emulated Raspberry Pi 4: built here, deployed over SSH, proven there.

No test looks at how long an inference took: under emulation that says nothing.
"""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgepose import bench, build
from edgepose.bench.record import Record
from edgepose.bench.store import RecordStore
from edgepose.bundle import Bundle
from edgepose.devices.inventory import add_device
from edgepose.devices.setup import setup_device
from edgepose.errors import (
    AuthenticationError,
    DeviceFullError,
    HostKeyError,
    RuntimeMissingError,
)
from edgepose.report.tables import render, rows
from tests.emulation.board import Board, running_board
from tests.emulation.conftest import entry
from tests.emulation.identity import RPI4
from tests.tiny_bundles import build_tiny, with_ballast
from tests.trained_model import EXAMPLES

RECIPES = ("onnxruntime-fp32", "ncnn-fp16")
FIGURES = r"MiB needed, \d+\.\d MiB free"


@pytest.fixture(scope="module")
def tiny(own_places: None, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return build_tiny(tmp_path_factory.mktemp("tiny"), target="rpi4")


@pytest.fixture
def tinypose(shared_data: Path, workplace: Path) -> Path:
    """The trained ONNX file with its description beside it."""
    shutil.copy(EXAMPLES / "tinypose-128x96.toml", workplace)
    return Path(shutil.copy(shared_data / "models" / "tinypose-128x96.onnx", workplace))


def assert_real_but_no_latency(record: Record, recipe: str) -> None:
    """What holds for every record of the board, and that no table shows a time of it."""
    assert (record.device, record.target, record.transport) == ("emu", "rpi4", "ssh")
    assert record.emulated
    assert record.proof.passed and record.proof.where == "emu"
    assert record.facts_before["model"] == RPI4.files["sys/firmware/devicetree/base/model"][:-1]
    assert record.facts_before["arch"] == "aarch64"
    assert set(record.cpus) <= os.sched_getaffinity(0)  # of the target's four, those that exist
    if record.engine == "onnxruntime":
        assert record.runtime_versions["python"].startswith("3.11")
    assert len(record.runs) == record.effort.processes
    assert {len(run.samples_ns) for run in record.runs} == {record.effort.runs}
    assert all(run.sensors[0].clocks_mhz["cpu0"] == 1800 for run in record.runs)
    assert all(reason.startswith("foreign load:") for reason in record.verdict.reasons)
    assert RecordStore().latest(recipe=recipe) == [record]

    told = json.loads(render(rows([record]), "json"))[0]
    assert {value for key, value in told.items() if key.endswith("_ms")} == {None}
    cells = next(csv.DictReader(io.StringIO(render(rows([record]), "csv"))))
    assert {value for key, value in cells.items() if key.endswith("_ms")} == {"emulated"}
    for format_, between in (("text", r" {2,}"), ("md", r" *\| *")):
        line = render(rows([record]), format_).splitlines()[2].strip("| ")
        assert re.split(between, line)[4:9] == ["emulated"] * 5


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_trained_net_is_proven_on_the_board_in_pixels(
    emu: Board, tinypose: Path, recipe: str
) -> None:
    bundle = build(str(tinypose), "rpi4", recipe)
    record = bench(bundle, "emu", threads=1, budget_s=5)
    assert_real_but_no_latency(record, recipe)
    points = record.proof.keypoints
    assert points is not None and points.n_points > 0
    assert points.mean_px <= 0.5


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_net_of_the_zoo_is_proven_on_the_board(emu: Board, recipe: str) -> None:
    record = bench(build("litepose-xs", "rpi4", recipe), "emu", threads=1, budget_s=5)
    assert_real_but_no_latency(record, recipe)
    assert record.proof.weights == "untrained"
    assert {tensor.output for tensor in record.proof.tensors} == set(
        build("litepose-xs", "rpi4", recipe).manifest.model.outputs
    )


def test_the_doctor_sees_a_raspberry_pi_4_with_its_runtimes(
    emu: Board, edgepose: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    done = edgepose("device", "doctor", "emu", "--json")
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    assert "Raspberry Pi 4" in checks["board"]["text"]
    assert "say nothing" in checks["emulation"]["text"]
    for name in ("host key", "architecture", "python", "runtime onnxruntime", "runner ncnn"):
        assert checks[name]["verdict"] == "PASS", checks[name]
    assert done.returncode == 0


@pytest.fixture
def edgepose(workplace: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "edgepose.cli.main", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    return run


def test_a_board_without_runtimes_is_told_how_to_get_them(
    board: Board, workplace: Path, tiny: Bundle
) -> None:
    add_device(entry(board, "bare", workdir="/home/pi/elsewhere"))
    with pytest.raises(RuntimeMissingError, match="lacks numpy and onnxruntime") as caught:
        bench(tiny, "bare")
    assert caught.value.hint == "Run `edgepose device setup bare`."
    assert not (board.home / "elsewhere" / "cache").exists()


def test_a_board_whose_key_changed_or_that_refuses_ours_measures_nothing(
    board: Board, workplace: Path, tiny: Bundle
) -> None:
    keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "other"]
    subprocess.run(keygen, check=True)
    other = " ".join(Path("other.pub").read_text().split()[:2])
    add_device(entry(board, "changed", host_keys=(other,)))
    add_device(entry(board, "stranger", identity_file=str(workplace / "other")))
    with pytest.raises(HostKeyError, match=r"has changed: .*SHA256:\S+, .*SHA256:"):
        bench(tiny, "changed")
    with pytest.raises(AuthenticationError):
        bench(tiny, "stranger")


def test_a_full_disk_is_told_in_figures_and_nothing_half_written_stays(
    equipped: Board, workplace: Path, tiny: Bundle
) -> None:
    sites = (equipped.home / ".edgepose" / "site").iterdir()
    site = next(path for path in sites if path.is_dir())
    packages = workplace / "board/machine/usr/local/lib/python3.11/dist-packages"
    shutil.copytree(site, packages, copy_function=os.link)
    with running_board(workplace / "board", home_size_mib=70) as small:
        device = entry(small, "small")
        add_device(device)
        with pytest.raises(DeviceFullError, match=FIGURES):
            bench(with_ballast(tiny, workplace / "ballast", 80), "small")
        assert not list((small.home / ".edgepose" / "cache").iterdir())
        with pytest.raises(DeviceFullError, match=FIGURES):
            setup_device(device)
        assert not (small.home / ".edgepose" / "site").exists()
        (small.home / "photographs").write_bytes(b"\0" * (10 << 20))
        with pytest.raises(DeviceFullError, match=r"has 5\d MiB free, a run wants 64"):
            bench(tiny, "small")
        assert not list((small.home / ".edgepose" / "cache").iterdir())
        assert not (small.home / ".edgepose" / "runs").exists()
