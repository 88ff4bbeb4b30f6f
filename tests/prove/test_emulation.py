"""How machine code of another CPU is run on this host, and what is said where it cannot be."""

from pathlib import Path

import msgspec
import pytest

from edgepose.errors import ToolchainError
from edgepose.prove import emulation, on_host
from edgepose.prove.emulation import emulate_dynamic, find_sysroot
from edgepose.prove.on_host import way_to_prove
from edgepose.recipes import load_recipe
from edgepose.targets import load_target

LIBRARIES = ("ld-linux-aarch64.so.1", "libc.so.6", "libstdc++.so.6", "libgcc_s.so.1")


def program(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def only_these(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH, and no libraries where Debian has them."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(emulation, "_DEBIANS", tmp_path / "absent")
    return tmp_path


def with_libraries(root: Path) -> Path:
    (root / "lib").mkdir(parents=True)
    for name in LIBRARIES:
        (root / "lib" / name).touch()
    return root


def test_without_an_emulator_the_packages_are_named(only_these: Path) -> None:
    with pytest.raises(ToolchainError, match="without an emulator") as caught:
        emulate_dynamic("cortex-a72")
    assert "apt install qemu-user-static g++-aarch64-linux-gnu" in caught.value.hint


def test_without_the_libraries_the_packages_are_named(only_these: Path) -> None:
    program(only_these, "qemu-aarch64-static", "echo cortex-a72; exit 1")
    with pytest.raises(ToolchainError, match="lacks arm64's C and C") as caught:
        emulate_dynamic("cortex-a72")
    assert "g++-aarch64-linux-gnu" in caught.value.hint


def test_one_missing_library_is_too_many(only_these: Path) -> None:
    root = with_libraries(only_these / "root")
    (root / "lib" / "libstdc++.so.6").unlink()
    program(only_these, "aarch64-linux-gnu-g++", f"echo {root}/lib/libc.so.6")
    with pytest.raises(ToolchainError):
        find_sysroot()


def test_the_cross_compiler_is_asked_for_its_libraries(only_these: Path) -> None:
    root = with_libraries(only_these / "root")
    program(only_these, "aarch64-linux-gnu-g++", f"echo {root}/bin/../lib/libc.so.6")
    (root / "bin").mkdir()
    assert find_sysroot() == root


def test_a_compiler_that_says_nothing_useful_is_passed_over(
    only_these: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulation, "_DEBIANS", with_libraries(only_these / "debian"))
    program(only_these, "aarch64-linux-gnu-g++", "echo libc.so.6")
    assert find_sysroot() == only_these / "debian"
    program(only_these, "aarch64-linux-gnu-g++", "exit 1")
    assert find_sysroot() == only_these / "debian"


@pytest.mark.parametrize(("wanted", "found"), [("cortex-a72", "cortex-a72"), ("carmel", "max")])
def test_a_cpu_that_the_emulator_does_not_know_becomes_one_that_can_do_all(
    only_these: Path, wanted: str, found: str
) -> None:
    root = with_libraries(only_these / "root")
    program(only_these, "aarch64-linux-gnu-g++", f"echo {root}/lib/libc.so.6")
    emulator = program(only_these, "qemu-aarch64-static", "echo '  cortex-a72\n  max'; exit 1")
    command, cpu = emulate_dynamic(wanted)
    assert cpu == found
    assert command == (str(emulator), "-cpu", found, "-L", str(root))


def test_an_emulator_that_does_not_start_is_named(only_these: Path) -> None:
    (only_these / "qemu-aarch64-static").write_bytes(b"\x7fELF cut off")
    (only_these / "qemu-aarch64-static").chmod(0o755)
    with pytest.raises(ToolchainError, match=r"qemu-aarch64-static does not work: .*Exec format"):
        emulate_dynamic("cortex-a72")


def test_nothing_stands_in_for_compiled_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, rpi4 = load_recipe("tvm-autoscheduler"), load_target("rpi4")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(on_host.platform, "machine", lambda: "x86_64")
    with pytest.raises(ToolchainError, match="without an emulator"):
        way_to_prove(tmp_path / "runner", rpi4, recipe)
    assert way_to_prove(tmp_path / "runner", rpi4, load_recipe("ncnn-fp32")).command == ()
    monkeypatch.setattr(on_host.platform, "machine", lambda: "aarch64")
    desktop = msgspec.structs.replace(rpi4, arch="x86_64")
    with pytest.raises(ToolchainError, match="cannot run what is compiled for x86_64"):
        way_to_prove(tmp_path / "runner", desktop, recipe)
