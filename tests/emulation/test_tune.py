"""A whole tuning on a board behind a real SSH server, killed once, resumed, and built from."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgepose.build import build
from edgepose.devices.inventory import add_device
from edgepose.engines.tvm.record_lines import TRIALS, read_lines
from edgepose.tuning.session import tune
from tests.emulation.board import Board
from tests.emulation.conftest import entry
from tests.own_cache import own_cache
from tests.tiny_nets import save_heatmap_net
from tests.tuning.small import ROOT, SETTINGS, processes_of

_CODE = """
import sys
from edgepose.tuning.session import tune
from tests.tuning.small import SETTINGS
tune(sys.argv[1], "rpi4", [sys.argv[2]], trials=12, settings=SETTINGS)
"""


@pytest.mark.timeout(900)
def test_a_tuning_on_the_board_survives_a_kill_and_serves_a_build(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEPOSE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("EDGEPOSE_CACHE", own_cache(tmp_path / "cache"))
    device = entry(board)
    add_device(device)
    net = save_heatmap_net(tmp_path / "net.onnx")
    words = [sys.executable, "-c", _CODE, str(net), device.name]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    with subprocess.Popen(words, env=environment) as process:
        while not lines_below(tmp_path / "data") and process.poll() is None:
            time.sleep(0.05)
        process.kill()
    kept = b"".join(lines_below(tmp_path / "data"))
    assert kept, "it ended before its first trial"

    result = tune(str(net), "rpi4", [device.name], trials=12, settings=SETTINGS)
    assert (result.about.trials, result.about.failed, result.tasks_missing) == (12, 0, 0)
    assert (result.about.origin, result.about.emulated) == ("board", True)
    assert (result.folder / TRIALS).read_bytes().startswith(kept)
    assert result.about.sha256 == read_lines(result.folder).sha256
    assert not [each for each in processes_of(tmp_path).values() if "tuning.worker" in each]
    assert not list((board.home / ".edgepose" / "runs").glob("tune-*"))

    bundle = build(str(net), "rpi4", "tvm-autoscheduler")
    assert bundle.manifest.proof.passed
    told = bundle.manifest.tuning
    assert told and (told.tuned, told.emulated, told.tuned_share) == ("board", True, 1.0)


def lines_below(data: Path) -> list[bytes]:
    """The whole lines of the one file of trials below ``data``."""
    for path in data.rglob(TRIALS):
        return [line for line in path.read_bytes().splitlines(True) if line.endswith(b"\n")]
    return []
