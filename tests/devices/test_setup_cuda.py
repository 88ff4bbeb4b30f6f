"""A board's own CUDA compiler: found, proven, used once per bundle, and missed in clear words.

No GPU is here: a stand-in for nvcc is used where kernels must run, the real one elsewhere.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edgepose import bench, build
from edgepose.bench.place import on_device
from edgepose.bundle import Bundle
from edgepose.deadline import Deadline
from edgepose.devices.device import Device
from edgepose.devices.inventory import add_device
from edgepose.devices.setup_cuda import (
    Compiler,
    compile_kernels,
    known_compiler,
    setup_cuda,
)
from edgepose.devices.ssh import SshTransport
from edgepose.engines.tvm.cuda_on_host import driver_on_cpu
from edgepose.engines.tvm.cuda_plan import KERNELS, SOURCE
from edgepose.errors import DeviceError, RuntimeMissingError, UsageError
from tests.devices.ssh_server import SshServer
from tests.devices.test_setup import TARGET as PLAIN_TARGET
from tests.own_cache import own_cache
from tests.tiny_nets import save_heatmap_net

ROOT = Path(__file__).parents[2]
GPU = """
[gpu]
name = "toy"
api = "cuda"
compute_capability = "{capability}"
"""
# nvcc as edgepose uses it, with a log of its calls; its program for the probe finds a GPU.
STAND_IN = """#!/bin/sh
echo "$*" >>"{log}"
[ "$1" = --version ] && echo "Cuda compilation tools, release 10.2, V10.2.300" && exit 0
for word in "$@"; do [ "$before" = -o ] && out=$word; before=$word; done
case "$*" in
*-cubin*) echo kernels >"$out" ;;
*) cp "{probe}" "$out" ;;
esac
"""
ANSWER = '{"gpu": "stand-in", "arch": "sm_53", "driver": "10.2"}'


def nvcc_is_at_least(major: int) -> bool:
    if not shutil.which("nvcc"):
        return False
    told = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"release (\d+)", told.stdout)
    return found is not None and int(found[1]) >= major


HAS_GPU = Path("/dev/nvidiactl").exists() or Path("/dev/nvhost-gpu").exists()


def save_target(folder: Path, capability: str = "5.3") -> None:
    (folder / "targets").mkdir(exist_ok=True)
    text = PLAIN_TARGET.replace('"onnxruntime-fp32"]', '"toy-cuda", "onnxruntime-fp32"]')
    text = re.sub(r"\[runtimes\.\w+\]\n[^\[]*\[[^\[]*(?=\[)", "", text)  # nothing to install
    text += GPU.format(capability=capability)
    (folder / "targets" / "toy.toml").write_text(text)


@pytest.fixture
def board(
    ssh_server: SshServer, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Device:
    """The SSH device as a board with a GPU, and an empty work folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEPOSE_CACHE", own_cache(tmp_path / "cache"))
    monkeypatch.setenv("EDGEPOSE_RECORDS", str(tmp_path / "records"))
    save_target(tmp_path)
    return ssh_server.device(target="toy", workdir=str(tmp_path / "work dir"), emulated=True)


@pytest.fixture
def nvcc(tmp_path: Path) -> Path:
    return stand_in(tmp_path)


def stand_in(folder: Path, answer: str = ANSWER) -> Path:
    path = folder / "bin dir" / "nvcc"
    path.parent.mkdir(exist_ok=True)
    probe = folder / "bin dir" / "probe"
    probe.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.write_text(STAND_IN.format(log=folder / "calls", probe=probe))
    for each in (path, probe):
        each.chmod(0o755)
    return path


def made(tmp_path: Path) -> list[str]:
    """Names in the device's folder for CUDA."""
    return sorted(path.name for path in (tmp_path / "work dir" / "cuda").iterdir())


def test_a_board_without_nvcc_is_told_where_it_comes_from(board: Device, tmp_path: Path) -> None:
    with pytest.raises(RuntimeMissingError, match=r"neither .*no-nvcc.* runs there") as caught:
        setup_cuda(board, places=("/no/cuda/bin/nvcc", "edgepose-no-nvcc"))
    assert "JetPack" in caught.value.hint
    assert made(tmp_path) == []


def test_a_target_without_cuda_is_refused_before_it_is_connected_to(board: Device) -> None:
    device = msgspec.structs.replace(board, target="rpi4", port=1)
    with pytest.raises(UsageError, match="rpi4"):
        setup_cuda(device)


def test_a_proven_compiler_is_remembered_and_only_that_is_left(
    board: Device, nvcc: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    found = setup_cuda(board, said.append, places=("/no/cuda/bin/nvcc", str(nvcc)))
    assert found == {
        "nvcc": f"10.2.300 ({nvcc})",
        "gpu": "stand-in (sm_53)",
        "cuda driver": "10.2",
    }
    assert "compiling a kernel for sm_53 with nvcc 10.2.300" in said
    assert made(tmp_path) == ["compiler.json"]
    transport = SshTransport(board)
    known = known_compiler(board, transport, board.workdir or "", Deadline.after(30))
    transport.close()
    assert known == Compiler(
        nvcc=str(nvcc), version="10.2.300", arch="sm_53", gpu="stand-in", driver="10.2"
    )


def test_another_gpu_than_the_targets_is_refused(board: Device, tmp_path: Path) -> None:
    nvcc = stand_in(tmp_path, ANSWER.replace("sm_53", "sm_87"))
    with pytest.raises(DeviceError, match="is sm_87, its target toy has sm_53"):
        setup_cuda(board, places=(str(nvcc),))
    assert made(tmp_path) == []


@pytest.mark.skipif(not nvcc_is_at_least(13), reason="no nvcc that has dropped sm_53")
def test_an_nvcc_that_is_too_new_for_the_gpu_is_named(board: Device, tmp_path: Path) -> None:
    with pytest.raises(RuntimeMissingError, match=r"nvcc \d+.* cannot compile for sm_53") as caught:
        setup_cuda(board)
    assert "JetPack" in caught.value.hint
    assert made(tmp_path) == []


@pytest.mark.skipif(HAS_GPU or not nvcc_is_at_least(10), reason="a GPU is here, or no nvcc")
def test_the_real_nvcc_compiles_the_probe_which_misses_a_gpu(board: Device, tmp_path: Path) -> None:
    save_target(tmp_path, "7.5")
    with pytest.raises(RuntimeMissingError, match=r"does not run what its nvcc .* made: .*CUDA"):
        setup_cuda(board)
    assert made(tmp_path) == []


@pytest.mark.skipif(HAS_GPU, reason="a GPU is here")
def test_the_command_sets_up_the_gpu_too_and_says_why_it_cannot(board: Device) -> None:
    add_device(board)
    words = ["device", "setup", board.name, "--with", "tvm-cuda"]
    command = [sys.executable, "-m", "edgepose.cli.main", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == RuntimeMissingError.exit_code
    assert "nvcc" in done.stderr


@pytest.fixture
def bundle(board: Device, tmp_path: Path) -> Bundle:
    """For the GPU; its recipe names a driver that has the kernels for this host's CPU."""
    driver = tmp_path / "libcuda.so.1"
    recipe = (ROOT / "recipes" / "tvm-cuda.toml").read_text()
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "toy-cuda.toml").write_text(
        recipe.replace('device = "cuda"', f'device = "cuda"\ndriver = "{driver}"')
    )
    net = save_heatmap_net(tmp_path / "net.onnx")
    made = build(str(net), target="toy", recipe="toy-cuda")
    driver.symlink_to(driver_on_cpu(made.folder / SOURCE, "sm_53"))
    return made


def test_a_bundle_for_the_gpu_asks_for_the_set_up_and_compiles_once(
    board: Device, bundle: Bundle, nvcc: Path, tmp_path: Path
) -> None:
    add_device(board)
    with pytest.raises(RuntimeMissingError, match="not set up for kernels of its GPU") as caught:
        bench(bundle, device=board.name, profile="paper", budget_s=3)
    assert "`edgepose device setup loopback --with tvm-cuda`" in caught.value.hint

    setup_cuda(board, places=(str(nvcc),))
    record = bench(bundle, device=board.name, profile="paper", budget_s=3)
    assert record.proof.passed
    assert record.runtime_versions["gpu arch"] == "sm_53"
    assert record.tuning and record.tuning.tuned == "no"
    with on_device(bundle, board, 1, 60.0, "test") as place:
        assert place.paths[KERNELS].endswith(".cubin")
    compiled = [line for line in (tmp_path / "calls").read_text().splitlines() if "cubin" in line]
    assert len(compiled) == 1
    assert compiled[0].startswith("-arch=sm_53 -w -cubin -x cu -o ")
    assert [name.endswith(".cubin") for name in made(tmp_path)] == [True, False]


def test_what_nvcc_says_of_bad_kernels_is_told_and_nothing_is_left(
    board: Device, nvcc: Path, tmp_path: Path
) -> None:
    setup_cuda(board, places=(str(nvcc),))
    text = nvcc.read_text().replace("echo kernels", "echo ptxas died >&2; exit 2; echo kernels")
    nvcc.write_text(text)
    transport = SshTransport(board)
    compiler = known_compiler(board, transport, board.workdir or "", Deadline.after(30))
    with pytest.raises(RuntimeMissingError, match="ptxas died") as caught:
        compile_kernels(board, transport, board.workdir or "", compiler, "/nowhere", "0" * 64)
    transport.close()
    assert "--with tvm-cuda" in caught.value.hint
    assert made(tmp_path) == ["compiler.json"]
