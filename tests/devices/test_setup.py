"""Setting a device up from wheels, and what the doctor says before and after."""

import platform
import shutil
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import msgspec
import pytest

from edgepose.devices import checks
from edgepose.devices.connect import workdir_of
from edgepose.devices.device import LOCAL
from edgepose.devices.doctor import examine
from edgepose.devices.facts import PythonFacts, parse_facts
from edgepose.devices.python import python_command, split_requirement, try_imports
from edgepose.devices.setup import setup_device
from edgepose.devices.setup_pipeline import pipeline_requirements
from edgepose.devices.ssh import SshTransport
from edgepose.devices.wheels import abi_tags, fetch_wheels, machine_of, platform_tags
from edgepose.errors import RuntimeMissingError, UsageError
from tests.devices.test_facts import PI4

TARGET = f"""
title = "A toy"
kind = "board"
arch = "{platform.machine()}"
memory_mib = 1000
[cpu]
name = "toy"
cores = 1
fast_cores = [0]
[system]
os = "toy"
python = "{platform.python_version()}"
[runtimes.onnxruntime]
version = "1.0"
packages = ["edge-toy==1.0", "toy_native==2.0"]
[recipes]
default = "onnxruntime-fp32"
allowed = ["onnxruntime-fp32"]
[power]
label = "none"
"""

PI_PYTHON = PythonFacts(
    version="3.11.2",
    implementation="cpython",
    abiflags="",
    bits=64,
    machine="aarch64",
    libc="glibc 2.36",
    packages={},
)


def make_wheel(folder: Path, name: str, version: str, tag: str, files: dict[str, str]) -> Path:
    path = folder / f"{name}-{version}-{tag}.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(
            f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def wheels(tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    make_wheel(folder, "edge_toy", "1.0", "py3-none-any", {"edge_toy.py": "__version__ = '1.0'\n"})
    data = {"toy_native-2.0.data/platlib/toy_native/__init__.py": "import edge_toy\n"}
    make_wheel(folder, "toy_native", "2.0", f"py3-none-linux_{platform.machine()}", data)
    return folder


@pytest.fixture
def board(ssh_server, home, tmp_path, monkeypatch):
    """The SSH device with a target of its own, this Python and an empty work folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "host cache"))
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "toy.toml").write_text(TARGET)
    return ssh_server.device(
        target="toy", python=sys.executable, workdir=str(tmp_path / "work dir")
    )


def by_name(found):
    return {check.name: check for check in found}


def test_a_device_is_set_up_without_its_own_network_and_then_healthy(
    board, wheels, tmp_path, deadline
):
    before = by_name(examine(board))
    assert before["runtime onnxruntime"].verdict == "WARNING"
    assert before["runtime onnxruntime"].fix == "edgepose device setup loopback"
    said: list[str] = []
    versions = setup_device(board, wheel_folder=wheels, progress=said.append)
    assert versions == {"edge_toy": "1.0", "toy_native": ""}
    assert said
    transport = SshTransport(board)
    command = python_command(board, transport, deadline)
    assert command[0] == "env"
    answer = transport.run(
        [*command, "-c", "import toy_native; print(toy_native.__file__)"], deadline
    )
    transport.close()
    assert answer.text.startswith(f"{tmp_path}/work dir/site/")
    after = by_name(examine(board))
    assert after["runtime onnxruntime"].verdict == "PASS", after["runtime onnxruntime"]
    assert {check.verdict for check in after.values()} <= {"PASS", "INFO", "WARNING", "UNKNOWN"}


def test_more_than_an_engine_needs_is_installed_on_request_and_imported_there(
    board, wheels, tmp_path
):
    make_wheel(wheels, "toy_eyes", "3.0", "py3-none-any", {"toy_cv.py": "__version__ = '3.0'\n"})
    more = {"toy_cv": "toy-eyes==3.0"}
    versions = setup_device(board, wheel_folder=wheels, more=more)
    assert versions == {"edge_toy": "1.0", "toy_native": "", "toy_cv": "3.0"}
    make_wheel(wheels, "toy_eyes", "3.0", "py3-none-any", {"toy_cv.py": "import no_such_module"})
    with pytest.raises(RuntimeMissingError, match=r"toy_cv for pipeline.*no_such_module"):
        setup_device(board, wheel_folder=wheels, more=more)


def test_the_pipeline_s_packages_are_those_of_this_host_but_numpy_is_the_engine_s():
    requirements = pipeline_requirements()
    assert set(requirements) == {"cv2", "msgspec", "platformdirs"}
    assert requirements["cv2"] == f"opencv-python-headless=={version('opencv-python-headless')}"


def test_setting_up_again_sends_nothing_and_a_new_version_keeps_the_last_one(
    board, wheels, tmp_path
):
    setup_device(board, wheel_folder=wheels)
    site = tmp_path / "work dir" / "site"
    cache = tmp_path / "work dir" / "cache"
    times = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    setup_device(board, wheel_folder=wheels)
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == times
    for content in ("__version__ = '1.0'  # b\n", "__version__ = '1.0'  # c\n"):
        make_wheel(wheels, "edge_toy", "1.0", "py3-none-any", {"edge_toy.py": content})
        setup_device(board, wheel_folder=wheels)
    folders = [path.name for path in site.iterdir() if path.is_dir()]
    assert len(folders) == 2
    assert (site / "current").read_text().strip() in folders


def test_a_broken_package_is_named_and_nothing_half_made_is_left(board, wheels, tmp_path):
    make_wheel(wheels, "edge_toy", "1.0", "py3-none-any", {"edge_toy.py": "import no_such_module"})
    with pytest.raises(RuntimeMissingError, match=r"edge_toy for onnxruntime.*no_such_module"):
        setup_device(board, wheel_folder=wheels)
    site = tmp_path / "work dir" / "site"
    assert not list(site.glob(".new-*"))


def test_a_missing_wheel_is_named_with_python_and_libc(board, wheels):
    next(wheels.glob("toy_native*")).unlink()
    with pytest.raises(RuntimeMissingError, match=r"toy_native==2\.0.*CPython 3.*glibc") as caught:
        setup_device(board, wheel_folder=wheels)
    assert caught.value.hint


def test_a_device_without_python_is_told_how_to_get_it(board, wheels):
    device = msgspec.structs.replace(board, python="edgepose-no-python")
    with pytest.raises(RuntimeMissingError, match="edgepose-no-python") as caught:
        setup_device(device, wheel_folder=wheels)
    assert "apt install python3" in caught.value.hint
    assert by_name(examine(device))["python"].verdict == "CRITICAL"


def test_no_import_that_is_tried_reports_itself_to_the_makers(board, tmp_path, deadline):
    package = tmp_path / "telemetry" / "openvino_telemetry"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('it was imported')")
    (package.parent / "wants_it.py").write_text(
        "try: import openvino_telemetry\nexcept ImportError: __version__ = 'without'\n"
    )
    python = ["env", f"PYTHONPATH={package.parent}", sys.executable]
    found = try_imports(SshTransport(board), python, ["wants_it"], deadline)
    assert found["wants_it"].version == "without"


def test_an_engine_that_the_target_does_not_have_is_refused(board):
    with pytest.raises(UsageError, match="tflite"):
        setup_device(board, engines=["tflite"])


def test_this_machine_needs_no_setup_but_is_verified():
    pytest.importorskip("onnxruntime")
    versions = setup_device(LOCAL, engines=["onnxruntime"])
    assert set(versions) == {"numpy", "onnxruntime"}


def test_the_doctor_says_why_it_cannot_get_in(ssh_server, home):
    unknown = examine(ssh_server.device(host_keys=()))[-1]
    assert (unknown.name, unknown.verdict) == ("host key", "CRITICAL")
    assert "device trust" in unknown.fix
    gone = examine(ssh_server.device(port=1))[-1]
    assert (gone.name, gone.verdict) == ("reachable", "CRITICAL")
    nowhere = examine(ssh_server.device(target="no-such-target"))[-1]
    assert (nowhere.name, nowhere.verdict) == ("target", "CRITICAL")


def test_the_doctor_names_a_work_folder_that_is_not_writable(board):
    device = msgspec.structs.replace(board, workdir="/proc/edgepose")
    assert by_name(examine(device))["work folder"].verdict == "CRITICAL"


def test_a_hot_throttled_board_is_a_critical_finding():
    sensors = parse_facts(PI4).sensors
    assert checks.check_throttling(sensors).verdict == "CRITICAL"
    assert checks.check_temperature(sensors).verdict == "PASS"
    assert checks.check_governor(sensors).verdict == "WARNING"
    hot = parse_facts(PI4.replace(":51000", ":81000")).sensors
    assert checks.check_temperature(hot).verdict == "CRITICAL"
    past = parse_facts(PI4.replace("0x50005", "0x50000")).sensors
    assert checks.check_throttling(past).verdict == "WARNING"


def test_a_clock_that_is_off_and_foreign_load_are_warnings():
    facts = parse_facts(PI4)
    assert checks.check_clock(facts, 1700000010.0).verdict == "PASS"
    late = checks.check_clock(facts, 1700009999.0)
    assert (late.verdict, late.text) == ("WARNING", "9999 s behind this host")
    assert checks.check_load(facts).verdict == "PASS"
    assert checks.check_load(parse_facts(PI4.replace("0.08 ", "3.50 "))).verdict == "WARNING"


def test_platform_tags_go_from_the_devices_libc_to_the_oldest():
    tags = platform_tags("aarch64", "glibc 2.28")
    assert tags[0] == "manylinux_2_28_aarch64"
    assert "manylinux_2_17_aarch64" in tags
    assert "manylinux2014_aarch64" in tags
    assert tags[-1] == "linux_aarch64"
    assert "manylinux_2_29_aarch64" not in tags
    assert "manylinux1_x86_64" in platform_tags("x86_64", "glibc 2.36")


@pytest.mark.parametrize("libc", ["", "musl 1.2"])
def test_another_c_library_is_told(libc):
    with pytest.raises(RuntimeMissingError, match="glibc"):
        platform_tags("aarch64", libc)


def test_a_32_bit_python_on_a_64_bit_kernel_is_told():
    with pytest.raises(RuntimeMissingError, match="32-bit"):
        machine_of(msgspec.structs.replace(PI_PYTHON, bits=32))


def test_old_pythons_have_their_own_abi():
    old = msgspec.structs.replace(PI_PYTHON, version="3.6.9", abiflags="m")
    assert abi_tags(old) == ["cp36m", "abi3", "none"]


def test_wheels_for_another_machine_are_chosen_on_this_host(tmp_path, monkeypatch, deadline):
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "wheels"
    folder.mkdir()
    for tag in (
        "cp311-cp311-manylinux_2_38_aarch64",
        "cp311-cp311-manylinux_2_28_aarch64",
        "cp311-cp311-manylinux_2_28_x86_64",
        "cp310-cp310-manylinux_2_17_aarch64",
    ):
        make_wheel(folder, "toy", "1.0", tag, {})
    (found,) = fetch_wheels(["toy==1.0"], PI_PYTHON, deadline, folder)
    assert found.name == "toy-1.0-cp311-cp311-manylinux_2_28_aarch64.whl"


def test_wheels_fetched_once_need_no_index_again(tmp_path, monkeypatch, deadline):
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "wheels"
    folder.mkdir()
    make_wheel(folder, "toy", "1.0", "py3-none-any", {})
    # The host's own pip settings hold.
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    first = fetch_wheels(["toy==1.0"], PI_PYTHON, deadline)
    shutil.rmtree(folder)
    assert fetch_wheels(["toy==1.0"], PI_PYTHON, deadline) == first


def test_the_default_work_folder_of_this_machine_is_in_the_cache(tmp_path, monkeypatch, deadline):
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path))
    assert workdir_of(LOCAL, SshTransport(LOCAL), deadline) == f"{tmp_path}/device"


def test_requirements_are_exact_names_and_versions():
    assert split_requirement("onnxruntime==1.31.1") == ("onnxruntime", "1.31.1")
    assert split_requirement("AI_edge.litert==2.0") == ("ai-edge-litert", "2.0")
