"""Which compiler is chosen, what it is told, and what is said where there is none."""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgepose.errors import ToolchainError
from edgepose.places import user_cache
from edgepose.runners import native_ncnn, toolchain
from edgepose.runners.native_ncnn import check_half_precision, library_key, ncnn_runner
from edgepose.runners.toolchain import (
    Toolchain,
    find_dynamic_toolchain,
    find_toolchain,
    require_cmake,
    run_tool,
)

TOOL = Toolchain("gnu", "aarch64", "g++ 12.2", ("g++",), ("-DX=1",), ("-static",))


def fake_program(folder: Path, name: str, says: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def only_these(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH; no NDK, no zig."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ANDROID_NDK_HOME", raising=False)
    monkeypatch.setattr(toolchain, "find_spec", lambda name: None)
    return tmp_path


@pytest.mark.parametrize(
    ("arch", "package"), [("aarch64", "g++-aarch64-linux-gnu"), ("x86_64", "g++")]
)
def test_without_a_compiler_the_fix_is_named(only_these: Path, arch: str, package: str) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("the package's name is another one here")
    with pytest.raises(ToolchainError, match=f"no C\\+\\+ compiler for {arch}") as caught:
        find_toolchain(arch)
    assert f"`apt install {package}`" in caught.value.hint
    assert "pip install ziglang" in caught.value.hint


def test_without_cmake_both_missing_tools_are_named(only_these: Path) -> None:
    with pytest.raises(ToolchainError, match="cmake and ninja") as caught:
        require_cmake()
    assert "apt install cmake ninja-build" in caught.value.hint


def test_debian_s_cross_compiler_is_found_and_links_statically(only_these: Path) -> None:
    compiler = fake_program(only_these, "aarch64-linux-gnu-g++", "g++ (Debian) 12.2.0")
    fake_program(only_these, "aarch64-linux-gnu-gcc", "gcc")
    found = find_toolchain("aarch64")
    assert (found.name, found.version) == ("gnu", "g++ (Debian) 12.2.0")
    assert found.compiler == (str(compiler),)
    assert "-static" in found.link
    assert "-DCMAKE_SYSTEM_PROCESSOR=aarch64" in found.cmake


def test_a_c_plus_plus_compiler_without_its_c_compiler_is_none(only_these: Path) -> None:
    fake_program(only_these, "aarch64-linux-gnu-g++", "g++")
    with pytest.raises(ToolchainError):
        find_toolchain("aarch64")


def test_the_user_s_ndk_comes_first_and_for_arm64_alone(
    only_these: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = only_these / "ndk" / "toolchains" / "llvm" / "prebuilt" / "linux-x86_64" / "bin"
    folder.mkdir(parents=True)
    compiler = fake_program(folder, "aarch64-linux-android24-clang++", "Android clang 18")
    for name in ("aarch64-linux-gnu-g++", "aarch64-linux-gnu-gcc", "g++", "gcc"):
        fake_program(only_these, name, "g++ (Debian) 12.2.0")
    for name in ("x86_64-linux-gnu-g++", "x86_64-linux-gnu-gcc"):
        fake_program(only_these, name, "g++ (Debian) 12.2.0")
    monkeypatch.setenv("ANDROID_NDK_HOME", str(only_these / "ndk"))
    found = find_toolchain("aarch64")
    assert (found.name, found.compiler) == ("ndk", (str(compiler),))
    assert "-DANDROID_ABI=arm64-v8a" in found.cmake
    assert find_toolchain("x86_64").name == "gnu"


def test_an_ndk_folder_without_a_compiler_is_an_error_and_not_passed_over(
    only_these: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("aarch64-linux-gnu-g++", "aarch64-linux-gnu-gcc"):
        fake_program(only_these, name, "g++ (Debian) 12.2.0")
    monkeypatch.setenv("ANDROID_NDK_HOME", str(only_these / "nowhere"))
    with pytest.raises(ToolchainError, match="nowhere, which holds no compiler") as caught:
        find_toolchain("aarch64")
    assert "unset it" in caught.value.hint


@pytest.mark.parametrize(
    "change",
    [
        {"version": "g++ 13.1"},
        {"name": "zig"},
        {"arch": "x86_64"},
        {"cmake": ("-DX=2",)},
    ],
    ids=str,
)
def test_another_compiler_has_another_library(change: dict[str, Any]) -> None:
    assert library_key(replace(TOOL, **change)) != library_key(TOOL)
    assert library_key(replace(TOOL)) == library_key(TOOL)


def test_a_library_without_half_precision_is_refused_for_arm64_alone() -> None:
    check_half_precision("#define NCNN_ARM82 1\n", TOOL)
    with pytest.raises(ToolchainError, match=r"g\+\+ 12.2 built ncnn without half") as caught:
        check_half_precision("#define NCNN_ARM82 0\n", TOOL)
    assert "g++-aarch64-linux-gnu" in caught.value.hint
    check_half_precision("#define NCNN_ARM82 0\n", replace(TOOL, arch="x86_64"))


def test_a_step_that_fails_shows_the_end_of_what_it_said() -> None:
    with pytest.raises(ToolchainError, match=r"(?s)linking failed: .*the last words"):
        run_tool(["sh", "-c", "echo the last words >&2; exit 3"], "linking", 10)
    with pytest.raises(ToolchainError, match="linking was stopped after 0 s"):
        run_tool(["sleep", "9"], "linking", 0.1)
    with pytest.raises(ToolchainError, match="no-such-tool does not start"):
        run_tool(["no-such-tool"], "linking", 10)


def test_the_runner_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = os.uname().machine
    if not (shutil.which("g++") and shutil.which("cmake") and shutil.which("ninja")):
        pytest.skip("this machine cannot build it")
    first = ncnn_runner(machine)
    stamp = first.stat().st_mtime_ns
    monkeypatch.setattr(native_ncnn, "run_tool", None)  # whoever calls it now fails
    assert ncnn_runner(machine) == first
    assert first.stat().st_mtime_ns == stamp
    assert first.is_relative_to(user_cache())


def test_programs_that_open_libraries_are_zig_s_where_it_is(
    only_these: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("aarch64-linux-gnu-g++", "aarch64-linux-gnu-gcc"):
        fake_program(only_these, name, "g++ (Debian) 12.2.0")
    debians = find_dynamic_toolchain("aarch64")
    assert debians.name == "gnu"
    assert "-static" not in debians.link
    assert {"-static-libstdc++", "-static-libgcc"} < set(debians.link)
    monkeypatch.setattr(toolchain, "find_spec", lambda name: name == "ziglang")
    monkeypatch.setattr(toolchain, "_zig_version", lambda: "zig 0.17.1")
    zigs = find_dynamic_toolchain("aarch64")
    assert zigs.name == "zig"
    assert "aarch64-linux-gnu.2.17" in zigs.compiler
    assert find_toolchain("aarch64").name == "gnu"


def test_without_a_compiler_for_such_programs_the_fix_is_named(only_these: Path) -> None:
    with pytest.raises(ToolchainError, match="no C\\+\\+ compiler for aarch64"):
        find_dynamic_toolchain("aarch64")
