"""The stages of the pipeline, timed by real processes on this machine and behind a real sshd."""

import json
import shutil
import sys
from pathlib import Path

import msgspec
import pytest

from edgepose.bench.stage_budget import StageBudget
from edgepose.bench.stages import stage_budget
from edgepose.bench.store import RecordStore
from edgepose.build import build
from edgepose.bundle import Bundle
from edgepose.cli.main import main
from edgepose.devices.device import Device
from edgepose.devices.inventory import add_device
from edgepose.errors import ProofError, RuntimeMissingError, UsageError
from edgepose.prove.golden_images import ONE_PERSON
from tests.bench.under_way import runs
from tests.devices.ssh_server import SshServer
from tests.tiny_bundles import build_tiny, with_false_golden_outputs
from tests.trained_model import EXAMPLES

pytestmark = pytest.mark.usefixtures("workplace")
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def loopback(ssh_server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The device ``loopback`` with the Python of this one; its folder there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    add_device(ssh_server.device(workdir=str(tmp_path / "there"), python=sys.executable))
    return tmp_path / "there"


@pytest.fixture(scope="session")
def tiny_ncnn(own_places: None, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return build_tiny(tmp_path_factory.mktemp("tiny"), recipe="ncnn-fp32")


@pytest.fixture(scope="session")
def detector(
    own_places: None, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    folder = tmp_path_factory.mktemp("detector")
    shutil.copy(EXAMPLES / "rtmdet-nano.toml", folder)
    shutil.copy(shared_data / "models" / "rtmdet-nano.onnx", folder)
    return build(str(folder / "rtmdet-nano.onnx"), into=folder / "bundle")


def names(found: StageBudget) -> list[str]:
    return [one.stage for one in found.stages]


def assert_whole(found: StageBudget, frames: int) -> None:
    assert len(found.processes) == 5
    for one in found.processes:
        assert {len(ns) for ns in one.ns.values()} == {frames}
        assert len(one.people) == frames
        assert all(ns >= 0 for each in one.ns.values() for ns in each)
    assert sum(one.mean_ms for one in found.stages) == pytest.approx(found.total.mean_ms)
    assert found.proof.passed


def test_every_stage_of_a_single_person_net_is_timed_and_kept(tiny: Bundle) -> None:
    found, path = stage_budget(tiny, frames=3)
    assert (found.way, found.device, found.model) == ("python", "local", "tiny")
    assert names(found) == ["preprocess", "network", "decode", "track", "other"]
    assert_whole(found, 3)
    for one in found.processes:
        inside = (sum(one.ns[stage][0] for stage in one.ns if stage != "frame"), one.ns["frame"][0])
        assert inside[0] <= inside[1]
    assert found.picture == "greeting.png"
    assert set(found.runtime_versions) >= {"python", "numpy", "opencv"}
    assert path.parent == RecordStore().folder / "profiles"
    assert msgspec.json.decode(path.read_bytes(), type=StageBudget) == found
    assert not list(runs().iterdir())


def test_a_detector_is_a_stage_of_its_own(tiny: Bundle, detector: Bundle) -> None:
    found, _ = stage_budget(tiny, detector=detector, frames=4)
    assert names(found) == ["preprocess", "detector", "network", "decode", "track", "other"]
    assert_whole(found, 4)
    assert found.people == 2.0
    assert found.detector == "rtmdet-nano"
    assert found.detector_proof is not None and found.detector_proof.passed
    assert all(ns > 0 for one in found.processes for ns in one.ns["detector"])


def test_a_picture_of_one_s_own_is_processed(tiny: Bundle, tmp_path: Path) -> None:
    own = Path(shutil.copy(ONE_PERSON, tmp_path / "own.png"))
    found, _ = stage_budget(tiny, picture=own, frames=1)
    assert found.picture == "own.png"


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, r"own\.png cannot be read: No such file"), (b"no PNG", r"own\.png is not an image")],
)
def test_a_picture_that_is_none_is_named_before_the_device_is_asked(
    tiny: Bundle, tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content:
        (tmp_path / "own.png").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        stage_budget(tiny, picture=tmp_path / "own.png")


def test_a_run_that_was_left_behind_is_replaced(tiny: Bundle) -> None:
    for kind in ("prove", "stages"):
        folder = runs() / f"{kind}-{tiny.manifest.bundle_id}"
        folder.mkdir(parents=True)
        (folder / "log").write_text("")
        (folder / "result.jsonl").write_text("half a li")
    assert_whole(stage_budget(tiny, frames=1)[0], 1)
    assert not list(runs().iterdir())


@pytest.mark.parametrize("device", ["local", "loopback"])
def test_more_frames_than_a_process_has_time_for_are_refused(
    tiny: Bundle, tiny_ncnn: Bundle, loopback: Path, device: str
) -> None:
    with pytest.raises(UsageError, match="each process would take") as caught:
        stage_budget(tiny if device == "local" else tiny_ncnn, device, frames=10**9)
    assert "--passes" in caught.value.hint


def test_an_unproven_bundle_s_stages_are_not_timed(tiny: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ProofError, match="is not proven on local"):
        stage_budget(with_false_golden_outputs(tiny, tmp_path / "false"))
    assert not (tmp_path / "records").exists()


def test_nets_that_are_no_pipeline_are_refused(tiny: Bundle, detector: Bundle) -> None:
    with pytest.raises(UsageError, match="is a net for detection, not for top-down or bottom-up"):
        stage_budget(detector)
    with pytest.raises(UsageError, match="is a net for top-down, not for detection"):
        stage_budget(tiny, detector=tiny)


def test_a_net_without_a_decoder_is_refused(tiny: Bundle) -> None:
    model = msgspec.structs.replace(tiny.manifest.model, decoder=None)
    bare = Bundle(tiny.folder, msgspec.structs.replace(tiny.manifest, model=model))
    with pytest.raises(UsageError, match="has no decoder"):
        stage_budget(bare)


def test_runners_of_two_kinds_are_refused_before_the_device_is_asked(
    tiny_ncnn: Bundle, detector: Bundle
) -> None:
    add_device(Device(name="away", transport="ssh", target="host", host="192.0.2.1"))
    with pytest.raises(UsageError, match="have runners of two kinds") as caught:
        stage_budget(tiny_ncnn, "away", detector)
    assert "both with onnxruntime" in caught.value.hint


def test_a_board_with_python_and_opencv_runs_the_whole_pipeline(
    tiny: Bundle, loopback: Path
) -> None:
    found, _ = stage_budget(tiny, "loopback", frames=2)
    assert (found.way, found.device) == ("python", "loopback")
    assert names(found) == ["preprocess", "network", "decode", "track", "other"]
    assert_whole(found, 2)
    assert not list((loopback / "runs").iterdir())


def test_a_native_runner_times_network_and_decoding_without_python(
    tiny_ncnn: Bundle, loopback: Path, capsys: Capture
) -> None:
    assert tiny_ncnn.manifest.runner == "runner"
    found, _ = stage_budget(tiny_ncnn, "loopback", frames=3)
    assert (found.way, found.picture) == ("native", tiny_ncnn.manifest.golden[0].name)
    assert names(found) == ["network", "decode"]
    assert_whole(found, 3)
    assert set(found.runtime_versions) == {"ncnn"}
    assert not list((loopback / "runs").iterdir())
    with pytest.raises(UsageError, match="by the C\\+\\+ runner"):
        stage_budget(tiny_ncnn, "loopback", detect_every=2)
    words = ["-q", "profile", str(tiny_ncnn.folder), "--stages", "--device", "loopback"]
    assert main([*words, "--passes", "2"]) == 0
    shown = capsys.readouterr().out
    assert [line.split()[:3] for line in shown.splitlines() if "not timed" in line] == [
        ["preprocess", "not", "timed"],
        ["track", "not", "timed"],
    ]


def test_what_a_board_s_python_lacks_is_named(tiny: Bundle, loopback: Path, tmp_path: Path) -> None:
    wrapper = tmp_path / "python-without"
    block = "import sys; sys.modules['cv2'] = sys.modules['msgspec'] = None"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(block)
    wrapper.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}/site exec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    inventory = Path("devices.toml")
    inventory.write_text(inventory.read_text().replace(sys.executable, str(wrapper)))
    with pytest.raises(RuntimeMissingError, match=r"cannot import .*cv2 .*msgspec") as caught:
        stage_budget(tiny, "loopback")
    assert "device setup loopback --with pipeline" in caught.value.hint


def test_the_command_prints_ms_and_shares(tiny: Bundle, capsys: Capture) -> None:
    words = ["-q", "profile", str(tiny.folder), "--stages", "--passes", "2"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    for word in ("preprocess", "network", "decode", "track", "total", "100.0%", "mean ms"):
        assert word in shown
    assert main([*words, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["way"] == "python"
    assert printed["schema_version"] == 1


def test_what_concerns_stages_only_is_no_word_for_layers(tiny: Bundle, capsys: Capture) -> None:
    assert main(["profile", str(tiny.folder), "--detect-every", "3"]) == 2
    assert "Add --stages" in capsys.readouterr().err
