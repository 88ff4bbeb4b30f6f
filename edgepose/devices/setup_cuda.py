"""A board's own CUDA compiler: proven once (``device setup --with tvm-cuda``), used per bundle.

All that is made lies in ``<workdir>/cuda``: the proof of the compiler, and kernels by content.
"""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import msgspec

from edgepose.deadline import Deadline
from edgepose.devices.connect import connect, workdir_of
from edgepose.devices.device import Device
from edgepose.devices.shell import failure, script, succeeded
from edgepose.devices.transport import Transport
from edgepose.errors import DeviceError, DeviceFullError, RuntimeMissingError
from edgepose.fingerprint import fingerprint
from edgepose.targets import cuda_arch, load_target

EXTRA = "tvm-cuda"
# JetPack's place, which is in nobody's PATH; then wherever the login shell finds it.
PLACES = ("/usr/local/cuda/bin/nvcc", "nvcc")
_PROBE = Path(__file__).parents[1] / "runners" / "tvm" / "cuda_probe.cu"
_SETUP_S, _KERNELS_S = 900.0, 1800.0

_FIND = """
for name in "$@"; do
    nvcc=$(command -v "$name") || continue
    echo "$nvcc" && "$nvcc" --version && exit 0
done
exit 1
"""

# Files have no extension in the cache, hence -x. The result gets its name when it is complete.
_COMPILE = """
nvcc=$1 arch=$2 source=$3 result=$4; shift 4
[ -s "$result" ] && exit 0
new=$result.new.$$
trap 'rm -f "$new"' EXIT
PATH=$(dirname "$nvcc"):$PATH
"$nvcc" -arch="$arch" -w "$@" -x cu -o "$new" "$source" >&2 && mv -f "$new" "$result"
"""


class Compiler(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A device's nvcc, and the GPU that ran what it compiled."""

    nvcc: str
    version: str
    arch: str
    gpu: str
    driver: str


def setup_cuda(
    device: Device,
    progress: Callable[[str], None] = lambda _: None,
    deadline: Deadline | None = None,
    places: tuple[str, ...] = PLACES,
) -> dict[str, str]:
    """Find nvcc on ``device``, compile a kernel for its GPU, run it there, and remember all that.

    Returns what was found, as text. Raises UsageError for a target without CUDA, and
    RuntimeMissingError that names what the device lacks.
    """
    until = deadline or Deadline.after(_SETUP_S)
    arch = cuda_arch(load_target(device.target))
    progress(f"connecting to {device.name}")
    transport = connect(device, until)
    try:
        folder = _folder(workdir_of(device, transport, until))
        succeeded(transport.run(["mkdir", "-p", folder], until), f"cannot use {folder}")
        nvcc, version = _find_nvcc(device, transport, places, until)
        progress(f"compiling a kernel for {arch} with nvcc {version}")
        compiler = _prove(device, transport, folder, nvcc, version, arch, until)
        _remember(transport, folder, compiler, until)
    finally:
        transport.close()
    return {
        "nvcc": f"{compiler.version} ({compiler.nvcc})",
        "gpu": f"{compiler.gpu} ({compiler.arch})",
        "cuda driver": compiler.driver,
    }


def known_compiler(
    device: Device, transport: Transport, workdir: str, deadline: Deadline
) -> Compiler:
    """What ``setup_cuda`` found. Raises RuntimeMissingError with the command that does it."""
    path = f"{_folder(workdir)}/compiler.json"
    answer = transport.run(["cat", path], deadline)
    try:
        return msgspec.json.decode(answer.stdout, type=Compiler)
    except msgspec.DecodeError:
        raise RuntimeMissingError(
            f"device {device.name!r} is not set up for kernels of its GPU",
            hint=f"Run `{_command(device)}`.",
        ) from None


def compile_kernels(
    device: Device,
    transport: Transport,
    workdir: str,
    compiler: Compiler,
    source: str,
    sha256: str,
) -> str:
    """Path on ``device`` of the kernels in its file ``source``, compiled there unless they were.

    Raises RuntimeMissingError with what nvcc said, and DeviceFullError.
    """
    key = fingerprint({"source": sha256, "compiler": compiler.version, "arch": compiler.arch})
    result = f"{_folder(workdir)}/{key}.cubin"
    words = [compiler.nvcc, compiler.arch, source, result, "-cubin"]
    done = transport.run(script(_COMPILE, *words), Deadline.after(_KERNELS_S))
    if done.returncode:
        error = failure(done, f"device {device.name!r} cannot compile the bundle's kernels")
        if isinstance(error, DeviceFullError):
            raise error
        hint = f"If its CUDA has changed, run `{_command(device)}`."
        raise RuntimeMissingError(str(error), hint=hint)
    return result


def _find_nvcc(
    device: Device, transport: Transport, places: tuple[str, ...], deadline: Deadline
) -> tuple[str, str]:
    done = transport.run(script(_FIND, *places), deadline)
    path, _, about = done.text.partition("\n")
    version = re.search(r"\bV(\d+\.\d+\.\d+)", about)
    if done.returncode or not version:
        raise RuntimeMissingError(
            f"device {device.name!r} has no nvcc: neither {' nor '.join(places)} runs there",
            hint="It comes with JetPack: `sudo apt install nvidia-jetpack`, or its cuda-toolkit.",
        )
    return path, version[1]


def _prove(
    device: Device,
    transport: Transport,
    folder: str,
    nvcc: str,
    version: str,
    arch: str,
    deadline: Deadline,
) -> Compiler:
    source, program = f"{folder}/probe.cu", f"{folder}/probe"
    transport.put(_PROBE, source, deadline)
    try:
        # What was compiled before may be another compiler's.
        transport.run(["rm", "-f", program], deadline)
        done = transport.run(script(_COMPILE, nvcc, arch, source, program), deadline)
        if done.returncode:
            raise RuntimeMissingError(
                f"nvcc {version} of device {device.name!r} cannot compile for {arch}: "
                f"{_last_line(done.stderr)}",
                hint=_advice(done.stderr, arch),
            )
        done = transport.run([program], deadline)
        if done.returncode:
            raise RuntimeMissingError(
                f"the GPU of device {device.name!r} does not run what its nvcc {version} made: "
                f"{_last_line(done.stderr)}",
                hint="Is its driver JetPack's own, and may this user use the GPU "
                "(`sudo usermod -aG video $USER`)?",
            )
    finally:
        transport.run(["rm", "-f", source, program], deadline)
    found = msgspec.json.decode(done.stdout, type=dict[str, str])
    if found["arch"] != arch:
        raise DeviceError(
            f"the GPU of device {device.name!r} is {found['arch']}, its target "
            f"{device.target} has {arch}",
            hint="Correct the target of its entry in devices.toml.",
        )
    return Compiler(nvcc=nvcc, version=version, **found)


def _remember(transport: Transport, folder: str, compiler: Compiler, deadline: Deadline) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "compiler.json"
        file.write_bytes(msgspec.json.encode(compiler))
        transport.put(file, f"{folder}/compiler.json", deadline)


def _advice(said: bytes, arch: str) -> str:
    if b"gpu architecture" in said.lower() or b"gpu-architecture" in said.lower():
        return f"This CUDA no longer knows {arch}, or not yet: use the one that JetPack brings."
    return "nvcc needs a C++ compiler that it knows: `sudo apt install build-essential`."


def _last_line(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "no message"


def _folder(workdir: str) -> str:
    return str(PurePosixPath(workdir) / "cuda")


def _command(device: Device) -> str:
    return f"edgepose device setup {device.name} --with {EXTRA}"
