"""What a board is, read with one command, for records and for the doctor."""

import json
import re
from collections.abc import Iterable, Sequence

import msgspec

from edgepose.deadline import Deadline
from edgepose.devices.cache import free_kib
from edgepose.devices.clusters import big_cores
from edgepose.devices.cpu_names import cpu_name
from edgepose.devices.sections import PRELUDE, integer, split_sections
from edgepose.devices.sensors import SCRIPT as SENSORS_SCRIPT
from edgepose.devices.sensors import Sensors, by_core, parse_sensors
from edgepose.devices.shell import script, succeeded
from edgepose.devices.transport import Transport
from edgepose.files import sha256_bytes

PACKAGES = (
    "ai-edge-litert",
    "apache-tvm",
    "ncnn",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "tflite-runtime",
)

_SCRIPT = (
    PRELUDE
    + """
workdir=$1; program=$2; shift 2
show kernel uname -sr
show arch uname -m
show devicetree cat /sys/firmware/devicetree/base/model
show dmi cat /sys/class/dmi/id/sys_vendor /sys/class/dmi/id/product_name
show cpuinfo grep -E '^(model name|CPU implementer|CPU part)' /proc/cpuinfo
show cores nproc
show memory grep '^MemTotal:' /proc/meminfo
show boot_id cat /proc/sys/kernel/random/boot_id
show machine_id cat /etc/machine-id
show os grep '^PRETTY_NAME=' /etc/os-release
show clock date +%s
while [ ! -d "$workdir" ]; do workdir=$(dirname "$workdir"); done
show disk df -Pk "$workdir"
show android sh -c 'for name in manufacturer model; do getprop "ro.product.$name"; done
    echo "Android $(getprop ro.build.version.release)"'
cpu=/sys/devices/system/cpu
show capacities grep . $cpu/cpu[0-9]*/cpu_capacity /dev/null
show top_khz grep . $cpu/cpu[0-9]*/cpufreq/cpuinfo_max_freq /dev/null
"""
    + SENSORS_SCRIPT
    + """
show python "$@" -c "$program"
exit 0
"""
)

# Must run on Python 3.6. Versions come from the metadata folders on sys.path: importing a runtime
# takes seconds on a small board, and importlib.metadata is of 3.8.
_PROGRAM = """
import json, os, platform, re, struct, sys
wanted = set(%r)
found = {}
for folder in reversed(sys.path):
    try:
        names = os.listdir(folder or ".")
    except OSError:
        continue
    for name in names:
        match = re.match(r"(.+?)-([^-]+?)(-py[0-9.]+)?[.](dist|egg)-info$", name)
        package = re.sub(r"[-_.]+", "-", match.group(1)).lower() if match else ""
        if package in wanted:
            found[package] = match.group(2)
try:
    libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
except (AttributeError, ValueError, OSError):
    libc = ""
print(json.dumps({
    "version": platform.python_version(), "implementation": sys.implementation.name,
    "abiflags": getattr(sys, "abiflags", ""), "bits": struct.calcsize("P") * 8,
    "machine": platform.machine(), "libc": libc, "packages": found}))
"""


class PythonFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The device's interpreter and the packages on its path that we know how to use.

    ``libc`` is ``glibc 2.36`` or empty: then it is another C library, such as musl.
    """

    version: str
    implementation: str
    abiflags: str
    bits: int
    machine: str
    libc: str
    packages: dict[str, str]


class DeviceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A board at one moment; what cannot be read is None, never guessed.

    ``machine_id`` is a hash of /etc/machine-id: equal for the same installation, and no secret.
    ``capacities`` and ``top_khz`` are the speeds of the cores, where the kernel tells them.
    """

    kernel: str | None
    arch: str | None
    os: str | None
    model: str | None
    cpu: str | None
    cores: int | None
    memory_mib: int | None
    boot_id: str | None
    machine_id: str | None
    clock_s: int | None
    free_disk_mib: int | None
    python: PythonFacts | None
    sensors: Sensors
    capacities: dict[int, int] = {}
    top_khz: dict[int, int] = {}

    @property
    def big_cores(self) -> tuple[int, ...]:
        """All but the slowest kind; none where all are alike or the kernel does not tell."""
        return big_cores(self.capacities, self.top_khz)


def read_facts(
    transport: Transport,
    deadline: Deadline,
    *,
    python: Sequence[str] = ("python3",),
    workdir: str = "/",
    packages: Iterable[str] = (),
) -> DeviceFacts:
    """Ask the device once. ``python`` is the command of its interpreter (``python_command``).

    ``packages`` are names to look for beside ``PACKAGES``.
    """
    program = _PROGRAM % (sorted({*PACKAGES, *packages}),)
    completed = transport.run(script(_SCRIPT, workdir, program, *python), deadline)
    return parse_facts(succeeded(completed, "cannot read the device's facts").text)


def parse_facts(text: str) -> DeviceFacts:
    """Pure: the facts from what the script printed."""
    sections = split_sections(text)
    memory = sections.get("memory", "").split()
    kib = integer(memory[1]) if len(memory) > 1 else None
    disk = sections.get("disk", "").splitlines()
    free = free_kib(disk[-1]) if disk else None
    return DeviceFacts(
        kernel=sections.get("kernel") or None,
        arch=sections.get("arch") or None,
        os=_android(sections) or sections.get("os", "").partition("=")[2].strip('"') or None,
        model=_model(sections),
        cpu=cpu_name(sections.get("cpuinfo", "")),
        cores=integer(sections.get("cores")),
        memory_mib=None if kib is None else kib // 1024,
        boot_id=sections.get("boot_id") or None,
        machine_id=_anonymous(sections.get("machine_id")),
        clock_s=integer(sections.get("clock")),
        free_disk_mib=None if free is None else free // 1024,
        python=_python(sections.get("python", "")),
        sensors=parse_sensors(sections),
        capacities=by_core(sections.get("capacities", "")),
        top_khz=by_core(sections.get("top_khz", "")),
    )


def _android(sections: dict[str, str]) -> str | None:
    match = re.search(r"(?m)^Android \S+$", sections.get("android", ""))
    return match[0] if match else None


def _model(sections: dict[str, str]) -> str | None:
    if _android(sections):
        return " ".join(sections["android"].splitlines()[:-1]).strip() or None
    # The device tree's strings end in NUL.
    text = sections.get("devicetree", "").replace("\0", "").strip()
    return text or " ".join(sections.get("dmi", "").split()) or None


def _anonymous(machine_id: str | None) -> str | None:
    """A hash: machine-id(5) asks to keep the id itself confidential, and records get published."""
    return sha256_bytes(f"edgepose {machine_id}".encode())[:16] if machine_id else None


def _python(text: str) -> PythonFacts | None:
    try:
        return msgspec.convert(json.loads(text), PythonFacts)
    except (ValueError, msgspec.ValidationError):
        return None
