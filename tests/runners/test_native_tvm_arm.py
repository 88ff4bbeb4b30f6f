"""TVM's runner for arm64 boards, under emulation: its times are no latencies."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgepose.bundle import Bundle, verify
from edgepose.errors import ToolchainError
from edgepose.prove.emulation import emulate_dynamic
from edgepose.runners.glibc import needed_glibc
from edgepose.runners.native_tvm import FFI_LIBRARY, RUNTIME_LIBRARY, tvm_runner, tvm_runtime
from edgepose.runners.toolchain import find_dynamic_toolchain
from tests.runners.conftest import lines_of, write_plan

pytestmark = [
    pytest.mark.emulation,
    pytest.mark.skipif(not shutil.which("qemu-aarch64-static"), reason="qemu is not installed"),
]


@pytest.fixture(scope="module")
def bundle(tiny_tvm_bundle: Callable[[str], Bundle]) -> Bundle:
    try:
        return tiny_tvm_bundle("rpi4")
    except ToolchainError as error:
        pytest.skip(f"{error}")


def emulate(bundle: Bundle, folder: Path) -> subprocess.CompletedProcess[str]:
    words = [*emulate_dynamic("cortex-a72").command, str(bundle.folder / "runner"), str(folder)]
    return subprocess.run(words, capture_output=True, text=True, timeout=600)


def test_a_board_s_bundle_is_proven_on_its_own_cpu(bundle: Bundle) -> None:
    proof = verify(bundle)
    assert proof.passed
    assert proof.where == "cortex-a72 emulated on this host"


def test_it_carries_all_that_the_board_lacks(bundle: Bundle) -> None:
    names = {"model.so", FFI_LIBRARY, RUNTIME_LIBRARY}
    assert set(bundle.manifest.artifact.files) == names
    files = {name: (bundle.folder / name).read_bytes() for name in (*names, "runner")}
    assert {content[18] for content in files.values()} == {0xB7}  # EM_AARCH64
    if find_dynamic_toolchain("aarch64").name != "zig":
        del files["runner"]  # Debian's compilers ask for about their own system's C library
    assert needed_glibc(files.values()) <= (2, 27)


def test_it_is_small_and_stripped() -> None:
    content = tvm_runner("aarch64").read_bytes()
    assert len(content) <= 512 * 1024
    assert b".symtab" not in content


def test_of_the_wheels_only_the_libraries_are_kept() -> None:
    paths = tvm_runtime("aarch64")
    assert {path.name for path in paths.values()} == {FFI_LIBRARY, RUNTIME_LIBRARY}
    (folder,) = {path.parent for path in paths.values()}
    assert {path.name for path in folder.iterdir()} == set(paths)
    assert sum(path.stat().st_size for path in paths.values()) < 6 * 2**20
    assert not list((folder.parent.parent / "sources").glob("apache_tvm*"))


def test_it_times_and_profiles(bundle: Bundle, tmp_path: Path) -> None:
    for mode in ("time", "profile"):
        (tmp_path / mode).mkdir()
        write_plan(bundle, tmp_path / mode, mode, sensor_period_s=0.1)
        done = emulate(bundle, tmp_path / mode)
        assert done.returncode == 0, done.stderr
    assert [line["kind"] for line in lines_of(tmp_path / "time")][:3] == [
        "header",
        "warmup",
        "samples",
    ]
    layers = [line for line in lines_of(tmp_path / "profile") if line["kind"] == "layer"]
    assert sum("conv" in line["type"] for line in layers) == 3


def test_a_bundle_started_by_hand_is_proven_and_timed(bundle: Bundle) -> None:
    done = emulate(bundle, bundle.folder)
    assert done.returncode == 0, done.stderr
    assert re.search(r"median \S+ ms", done.stdout)
