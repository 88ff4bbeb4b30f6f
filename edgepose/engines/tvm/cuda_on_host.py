"""``python -m edgepose.engines.tvm.cuda_on_host RUN_FOLDER``: a run of GPU kernels without a GPU.

The runner is the one for this host, the plan stays as it is, but the kernels are compiled as C++
with a stand-in for the driver: it proves source and launch plan, and says nothing about time.
"""

import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

import msgspec

from edgepose.config import load_json
from edgepose.engines.tvm.cuda_plan import KERNELS, LAUNCHES, SOURCE
from edgepose.errors import EdgePoseError
from edgepose.files import folder_atomic, sha256_file, write_atomic
from edgepose.fingerprint import fingerprint, source_hash
from edgepose.places import user_cache
from edgepose.runners.native_tvm import tvm_runner
from edgepose.runners.toolchain import find_dynamic_toolchain, run_tool

_STAND_IN = Path(__file__).parents[2] / "runners" / "tvm" / "cuda_on_cpu"
# Launch bounds, name, parameters and body, as TVM writes them.
_KERNEL = re.compile(
    r'extern "C" __global__ void __launch_bounds__\((\d+)\) (\w+)\(([^)]*)\) \{\n(.*?)\n\}\n',
    re.DOTALL,
)
_FLAGS = (
    *("-std=c++17", "-O1", "-fstrict-aliasing", "-shared", "-fPIC", "-w"),
    # A jump between fibers looks like a smashed stack to the checked longjmp.
    *("-U_FORTIFY_SOURCE", "-fno-stack-protector"),
    # A GPU rounds once in a multiplication with addition, too.
    "-ffp-contract=fast",
)
_COMPILE_S = 1800.0
_RUNTIME_MISSING = 12  # of the runner protocol


def driver_on_cpu(source: Path, arch: str) -> Path:
    """A stand-in for the GPU's driver with the kernels in ``source``; made unless the cache has it.

    Raises ToolchainError where this host has no C++ compiler.
    """
    toolchain = find_dynamic_toolchain(platform.machine())
    key = fingerprint(
        {
            "kernels": sha256_file(source),
            "arch": arch,
            "code": source_hash("runners/tvm/cuda_on_cpu", "engines/tvm/cuda_on_host.py"),
            "toolchain": [toolchain.name, toolchain.version],
        }
    )
    place = user_cache() / "cuda-on-cpu" / key
    if not place.is_dir():
        with folder_atomic(place) as folder:
            write_atomic(folder / "kernels.cpp", kernel_table(source, arch))
            words = [*toolchain.compiler, *_FLAGS, f"-I{_STAND_IN}", str(folder / "kernels.cpp")]
            words += [str(_STAND_IN / "driver.cpp"), "-o", str(folder / "driver.so")]
            run_tool(words, "compiling the kernels for this host's CPU", _COMPILE_S)
    return place / "driver.so"


def kernel_table(source: Path, arch: str) -> str:
    """C++ that includes ``source`` and lists its kernels, each callable with untyped arguments."""
    lines, rows = [f'#include "{source.resolve()}"', '#include "kernels.h"', ""], []
    for most_threads, name, parameters, body in _KERNEL.findall(source.read_text()):
        types = [parameter.rpartition("*")[0] + "*" for parameter in parameters.split(",")]
        values = ", ".join(f"static_cast<{kind}>(a[{i}])" for i, kind in enumerate(types))
        lines.append(f"static void call_{name}(void** a) {{ {name}({values}); }}")
        cooperates = str("__syncthreads" in body or "__shfl" in body).lower()
        rows.append(f'{{"{name}", call_{name}, {len(types)}, {most_threads}, {cooperates}}},')
    major, minor = arch.removeprefix("sm_")[:-1], arch[-1]
    lines += ["extern const Kernel kKernels[] = {", *rows, "{nullptr, nullptr, 0, 0, false}};"]
    lines.append(f"extern const int kMajor = {major}, kMinor = {minor};")
    return "\n".join(lines) + "\n"


def adapt(plan: dict[str, Any]) -> dict[str, Any]:
    """``plan`` for a bundle's GPU artifact as a plan for this host's CPU."""
    artifact = plan["artifact"]
    arch = load_json(Path(artifact[LAUNCHES]), dict)["arch"]
    driver = str(driver_on_cpu(Path(artifact[SOURCE]), arch))
    return {
        **plan,
        "artifact": {**artifact, KERNELS: driver},
        "options": {**plan["options"], "driver": driver},
    }


def main(folder: str) -> None:
    """Adapts the plan in ``folder`` and becomes the runner. Exit code 12 where nothing compiles."""
    path = Path(folder) / "plan.json"
    try:
        write_atomic(path, msgspec.json.encode(adapt(load_json(path, dict))))
        runner = str(tvm_runner(platform.machine()))
    except EdgePoseError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(_RUNTIME_MISSING)
    os.execv(runner, [runner, folder])


if __name__ == "__main__":
    main(*sys.argv[1:])
