"""A bundle on the emulated phone through the real adb: what is recorded, noted, refused.

Its times are no latencies. No physical phone has run any of this.
"""

import json
from pathlib import Path

import pytest

from edgepose.bench import preflight
from edgepose.bench.profile import profile
from edgepose.bench.session import bench
from edgepose.bundle import Bundle
from edgepose.cli.main import main
from edgepose.devices.doctor import examine
from edgepose.devices.inventory import add_device
from tests.emulation.conftest import phone_entry
from tests.emulation.phone import Phone
from tests.tiny_bundles import build_tiny

pytestmark = pytest.mark.emulation
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def bundle(own_places: None, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("phone-bundle")
    return build_tiny(folder, target="snapdragon-865", recipe="ncnn-fp32")


@pytest.fixture
def pixel(phone: Phone, workplace: Path) -> str:
    """The phone, listed as a device in the current folder."""
    add_device(phone_entry(phone, "pixel"))
    return "pixel"


def test_the_doctor_finds_a_phone_fit(phone: Phone, pixel: str) -> None:
    found = {check.name: check for check in examine(phone_entry(phone, pixel))}
    assert not [name for name, check in found.items() if check.verdict == "CRITICAL"]
    assert found["board"].text == "edgepose Emulated 865"
    assert found["thermal status"].verdict == "PASS"
    assert found["battery"].text == "80 %, charging"
    assert found["screen"].text.startswith("off")
    assert (found["big cores"].verdict, found["big cores"].text) == ("PASS", "4, 5, 6, 7")
    assert found["temperature"].text == "45 °C at the hottest"
    assert not {"python", "governor", "foreign load"} & set(found)


def test_a_bundle_is_proven_and_timed_on_a_phone(bundle: Bundle, pixel: str) -> None:
    record = bench(bundle, pixel, "paper", budget_s=30)
    assert record.proof.passed
    assert (record.transport, record.emulated, record.engine) == ("adb", True, "ncnn")
    assert record.threads == 4
    assert set(record.runtime_versions) == {"ncnn"}
    (run,) = record.runs
    assert len(run.samples_ns) == record.effort.runs
    assert run.thermal_status == 0
    assert run.sensors[0].temperatures_c["cpu-0-0-usr"] == 45.0
    assert record.facts_before["phone"]["battery_percent"] == 80
    assert record.facts_before["model"] == "edgepose Emulated 865"
    assert record.facts_before["os"] == "Android 11"
    assert any(note.startswith("charging:") for note in record.verdict.notes)
    assert not [reason for reason in record.verdict.reasons if "thermal" in reason]


def test_a_phone_that_got_severely_hot_is_refused(
    bundle: Bundle, pixel: str, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "_COOL_DOWN_S", 0.1)
    phone.set_thermal_status(3)
    try:
        record = bench(bundle, pixel, "paper", budget_s=5)
    finally:
        phone.set_thermal_status(0)
    assert "throttled: the phone's thermal status was severe" in record.verdict.reasons
    assert not record.verdict.valid


def test_a_profile_of_a_phone_is_kept_and_marked(
    bundle: Bundle, pixel: str, capsys: Capture
) -> None:
    words = ["-q", "profile", str(bundle.folder), "--device", pixel, "--passes", "2"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("EMULATED: neither times nor shares")
    assert "emulated ms" in shown
    assert "Convolution" in shown
    assert main([*words, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["emulated"] is True
    assert printed["cpus"] == [] or set(printed["cpus"]) <= {4, 5, 6, 7}
    assert len(list(Path("records/profiles").glob("*-pixel-*.json"))) == 2


def test_the_python_api_profiles_a_phone_too(bundle: Bundle, pixel: str) -> None:
    found, path = profile(bundle, pixel, passes=1, threads=1)
    assert found.threads == 1
    assert path.is_file()
