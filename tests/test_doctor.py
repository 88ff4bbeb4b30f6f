"""What the host's doctor says of tools that are there, and of a host that has none."""

import platform
import shutil
from pathlib import Path

import pytest

from edgepose.devices import host_checks
from edgepose.devices.check import Check
from edgepose.devices.host_checks import (
    check_build_tools,
    check_compiler,
    check_program,
    check_runner,
    check_tools,
)
from edgepose.doctor import examine_host
from edgepose.engines import ENGINES
from edgepose.engines.base import ToolStatus
from edgepose.runners import toolchain
from edgepose.runners.native_ncnn import ncnn_runner

ABSENT = ToolStatus(False, missing=("torch",), fix="Install it with `pip install torch`.")


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH; no NDK, no zig, nothing in the cache."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ANDROID_NDK_HOME", raising=False)
    monkeypatch.setattr(toolchain, "find_spec", lambda name: None)
    return tmp_path


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_each_engine_each_runner_and_each_helper_has_a_line_of_its_own() -> None:
    names = [check.name for check in examine_host()]
    assert len(set(names)) == len(names)
    assert {f"engine {name}" for name in ENGINES} <= set(names)
    assert {f"compiler {arch}" for arch in ("aarch64", "x86_64")} <= set(names)
    assert {"runner ncnn aarch64", "runner ncnn x86_64", "adb", "emulator"} <= set(names)
    assert "runner onnxruntime x86_64" not in names  # a Python program


def test_a_host_without_compilers_and_helpers_is_told_how_to_get_each(bare: Path) -> None:
    checks = by_name(examine_host())
    fixes = {
        "compiler aarch64": "pip install ziglang",
        "build tools": "apt install cmake ninja-build",
        "runner ncnn aarch64": "pip install ziglang",
        "adb": "apt install adb",
        "emulator": "apt install qemu-user-static",
    }
    for name, fix in fixes.items():
        assert checks[name].verdict == "WARNING", checks[name]
        assert fix in checks[name].fix
    assert checks["engine onnxruntime"].verdict == "PASS"  # needs nothing but its package


def test_what_the_default_job_lacks_is_critical_and_the_rest_is_not() -> None:
    needed = check_tools("export of zoo models", ABSENT, needed=True)
    assert needed == Check(
        "export of zoo models", "CRITICAL", "missing: torch", "Install it with `pip install torch`."
    )
    assert check_tools("engine tvm", ABSENT).verdict == "WARNING"


def test_versions_are_told_of_what_is_there() -> None:
    status = ToolStatus(True, versions={"ncnn": "1.0", "pnnx": "2.0"})
    assert check_tools("engine ncnn", status) == Check("engine ncnn", "PASS", "ncnn 1.0, pnnx 2.0")


def test_the_compiler_s_kind_and_version_are_told(bare: Path) -> None:
    for name in ("aarch64-linux-gnu-g++", "aarch64-linux-gnu-gcc"):
        (bare / name).write_text("#!/bin/sh\necho 'g++ (Debian) 12.2.0'\n")
        (bare / name).chmod(0o755)
    assert check_compiler("aarch64").text == "gnu: g++ (Debian) 12.2.0"
    runner = check_runner("ncnn", "aarch64", "runner")
    assert (runner.verdict, runner.fix) == ("PASS", "")
    assert "not built yet" in runner.text
    assert "g++ (Debian) 12.2.0" in runner.text


@pytest.mark.timeout(3600)  # the library is built here where no test was run before
def test_a_runner_in_the_cache_is_told_from_one_that_must_be_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (shutil.which("g++") and check_build_tools().verdict == "PASS"):
        pytest.skip("this machine cannot build it")
    arch = platform.machine()
    ncnn_runner(arch)
    assert "built here" in check_runner("ncnn", arch, "runner").text
    monkeypatch.setenv("EDGEPOSE_CACHE", str(tmp_path / "empty"))
    assert "not built yet" in check_runner("ncnn", arch, "runner").text
    assert not (tmp_path / "empty").exists()  # an examination builds nothing


def test_a_helper_is_shown_with_its_place_or_with_what_is_not_possible_without_it() -> None:
    assert check_program("tool", "/bin/tool", "no use", "get it") == Check(
        "tool", "PASS", "/bin/tool"
    )
    assert check_program("tool", None, "no use", "get it") == Check(
        "tool", "WARNING", "missing: no use", "get it"
    )


def test_every_native_engine_s_runner_can_be_examined() -> None:
    from edgepose.engines import find_engine

    assert {name for name in ENGINES if find_engine(name).native} == set(host_checks._NATIVE)
