"""``edgepose weights`` from the command line: paths on stdout, JSON, exit codes."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Edgepose
from tests.cli.test_errors import assert_fails
from tests.cli.test_help import _HEAVY, loaded_by


def test_the_list_shows_every_checkpoint_with_its_state(edgepose: Edgepose) -> None:
    done = edgepose("weights", "list", "rtmpose-t", "--json")
    checkpoints = json.loads(done.stdout)
    assert checkpoints and all(each["model"] == "rtmpose-t" for each in checkpoints)
    text = edgepose("weights", "list").stdout
    for each in checkpoints:
        (line,) = (line for line in text.splitlines() if each["name"] in line)
        assert line.split()[0] == "rtmpose-t"
        assert each["sha256_prefix"] in line and line.split()[-1] == "-"


def test_listing_and_help_load_nothing_heavy() -> None:
    assert not _HEAVY & loaded_by("weights", "list")
    assert not _HEAVY & loaded_by("weights", "fetch", "--help")


@pytest.mark.parametrize("action", ["list", "fetch", "import", "export"])
def test_every_action_has_help(edgepose: Edgepose, action: str) -> None:
    done = edgepose("weights", action, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.match(rf"usage: \S+ weights {action}", done.stdout)


@pytest.mark.parametrize("words", [("list",), ("fetch",), ("import", "f.pth"), ("export", "f.pth")])
def test_2_for_an_unknown_model(edgepose: Edgepose, words: tuple[str, ...]) -> None:
    action, *rest = words
    done = edgepose("weights", action, "rtmpos-t", *rest)
    assert_fails(done, 2, "unknown model 'rtmpos-t'. Nearest: rtmpose-t")


def test_2_for_an_unknown_checkpoint(edgepose: Edgepose) -> None:
    done = edgepose("weights", "fetch", "rtmpose-t", "--weights", "rtmpose-tinny")
    assert_fails(done, 2, "unknown checkpoint of rtmpose-t", "edgepose weights list rtmpose-t")


def test_3_for_a_file_that_cannot_be_fetched(
    edgepose: Edgepose, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody is there
    done = edgepose("weights", "fetch", "rtmdet-nano")
    assert_fails(done, 3, "rtmdet_nano_8xb32", "cannot be fetched", "the proxy")


def test_3_for_a_file_on_a_drive(edgepose: Edgepose) -> None:
    done = edgepose("weights", "fetch", "litepose-xs-crowdpose")
    assert_fails(done, 3, "https://drive.google.com/open?id=1U3j", "edgepose weights import")


def test_3_for_a_file_that_is_unsafe(edgepose: Edgepose) -> None:
    Path("evil.pth").write_bytes(b"cos\nsystem\n(S'touch victim'\ntR.")
    assert_fails(edgepose("weights", "import", "rtmpose-t", "evil.pth"), 3, "cannot be read safely")
    assert not Path("victim").exists()
    assert not Path("rtmpose-t.safetensors").exists()


def test_import_and_export_print_the_path_alone(edgepose: Edgepose, shared_data: Path) -> None:
    source = shared_data / "reference" / "rtmdet-nano.pth"
    done = edgepose("weights", "import", "rtmdet-nano", source)
    assert (done.returncode, done.stdout) == (0, "rtmdet-nano.safetensors\n")
    assert "not a file that the zoo knows" in done.stderr
    again = edgepose("weights", "import", "rtmdet-nano", source)
    assert_fails(again, 2, "rtmdet-nano.safetensors exists already", "--into")
    done = edgepose("weights", "export", "rtmdet-nano", "rtmdet-nano.safetensors", "--json")
    assert json.loads(done.stdout) == {"path": "rtmdet-nano.pth"}
    assert Path("rtmdet-nano.pth").stat().st_size > 3_000_000


def test_json_names_every_key_that_does_not_fit(edgepose: Edgepose, shared_data: Path) -> None:
    source = shared_data / "reference" / "rtmpose-t.pth"
    done = edgepose("weights", "import", "rtmpose-s", source, "--json")
    assert done.returncode == 3
    assert "of another shape" in done.stderr
    misfit = json.loads(done.stdout)["misfit"]
    assert len(misfit["missing"]) == 30 and len(misfit["reshaped"]) == 174


def test_the_imported_detector_is_built_with_its_weights(
    edgepose: Edgepose, shared_data: Path
) -> None:
    source = shared_data / "models" / "rtmdet-nano.onnx"
    imported = edgepose("weights", "import", "rtmdet-nano", source, "--json")
    assert json.loads(imported.stdout)["provenance"]["source"] == "rtmdet-nano.onnx"
    done = edgepose("build", "rtmdet-nano", "--weights", "rtmdet-nano.safetensors", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["manifest"]["proof"]["passed"]
