"""What makes an emulated board look like a particular board: its files and small commands."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

CPU_FOLDER = "sys/devices/system/cpu"
THERMAL_FOLDER = "sys/class/thermal"
DEVICE_TREE = "sys/firmware/devicetree/base"
UID = 1000  # the user on the board, whoever runs it


@dataclass(frozen=True)
class BoardIdentity:
    """One kind of board. Paths are relative to the board's `/`; a link's target is as in ln -s."""

    name: str
    qemu_cpu: str
    uname: str
    user: str
    cpuinfo: str
    files: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[str, str] = field(default_factory=dict)


def write_machine_files(identity: BoardIdentity, folder: Path) -> None:
    """Write the board's files below `folder`, as they are after a fresh start."""
    passwd = (
        "root:x:0:0:root:/root:/bin/bash\n"
        f"{identity.user}:x:{UID}:{UID}::/home/{identity.user}:/bin/bash\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    )
    system = {
        "etc/passwd": passwd,
        "etc/group": f"root:x:0:\n{identity.user}:x:{UID}:\nnogroup:x:65534:\n",
        "etc/hostname": f"{identity.name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {identity.name}\n",
        "proc/cpuinfo": identity.cpuinfo,
    }
    for path, text in {**system, **identity.files}.items():
        write_file(folder / path, text)
    for path, target in identity.links.items():
        link = folder / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    for name, script in identity.commands.items():
        command = folder / "usr/local/bin" / name
        write_file(command, script)
        command.chmod(0o755)


def write_file(path: Path, text: str) -> None:
    """Write a file that its user on the board may read but not change, as sysfs is for pi.

    It is written in place: a rename would not be seen through the bind of a single file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.chmod(0o644)
    path.write_text(text)
    path.chmod(0o444)


def _thermal_zones(*names: str) -> Iterator[tuple[str, str]]:
    for number, name in enumerate(names):
        yield f"{THERMAL_FOLDER}/thermal_zone{number}/type", f"{name}\n"
        yield f"{THERMAL_FOLDER}/thermal_zone{number}/temp", "45000\n"


def _cpu_frequencies(kilohertz: tuple[int, ...], governor: str) -> Iterator[tuple[str, str]]:
    values = {
        "affected_cpus": "0 1 2 3",
        "cpuinfo_max_freq": kilohertz[-1],
        "cpuinfo_min_freq": kilohertz[0],
        "scaling_available_frequencies": " ".join(map(str, kilohertz)),
        "scaling_available_governors": "ondemand userspace powersave performance schedutil",
        "scaling_cur_freq": kilohertz[-1],
        "scaling_driver": "cpufreq-dt",
        "scaling_governor": governor,
        "scaling_max_freq": kilohertz[-1],
        "scaling_min_freq": kilohertz[0],
    }
    for name, value in values.items():
        yield f"{CPU_FOLDER}/cpufreq/policy0/{name}", f"{value}\n"


def _cpu_lists() -> Iterator[tuple[str, str]]:
    # glibc counts processors here, so Python's os.cpu_count() says 4; nproc asks the scheduler
    for name in ("online", "possible", "present"):
        yield f"{CPU_FOLDER}/{name}", "0-3\n"


# One policy governs all four cores on both boards: a change of one cpu is a change of all.
_CPU_LINKS = {f"{CPU_FOLDER}/cpu{number}/cpufreq": "../cpufreq/policy0" for number in range(4)}


def _cpuinfo(bogomips: str, features: str, part: str, revision: int, tail: str) -> str:
    blocks = [
        f"processor\t: {number}\n"
        f"BogoMIPS\t: {bogomips}\n"
        f"Features\t: {features}\n"
        "CPU implementer\t: 0x41\nCPU architecture: 8\n"
        f"CPU variant\t: 0x{1 if part == '0xd07' else 0}\nCPU part\t: {part}\n"
        f"CPU revision\t: {revision}\n\n"
        for number in range(4)
    ]
    return "".join(blocks) + tail


VCGENCMD = """\
#!/bin/sh
# Answers from files that a test can change: the thermal zone and share/vcgencmd/throttled.
case "$1" in
get_throttled) echo "throttled=$(cat /usr/local/share/vcgencmd/throttled)" ;;
measure_temp) awk '{ printf "temp=%.1f'"'"'C\\n", $1 / 1000 }' \\
    /sys/class/thermal/thermal_zone0/temp ;;
measure_clock) awk '{ printf "frequency(48)=%d\\n", $1 * 1000 }' \\
    /sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq ;;
measure_volts) echo 'volt=0.8600V' ;;
*) echo 'error=1 error_msg="Command not registered"'; exit 255 ;;
esac
"""
THROTTLED_FILE = "usr/local/share/vcgencmd/throttled"

RPI4_MODEL = "Raspberry Pi 4 Model B Rev 1.5"
RPI4 = BoardIdentity(
    name="rpi4",
    qemu_cpu="cortex-a72",
    uname="6.1.21-v8+",
    user="pi",
    cpuinfo=_cpuinfo(
        bogomips="108.00",
        features="fp asimd evtstrm crc32 cpuid",
        part="0xd08",
        revision=3,
        tail=f"Hardware\t: BCM2835\nRevision\t: c03115\nModel\t\t: {RPI4_MODEL}\n",
    ),
    files={
        # the kernel ends device-tree strings with a NUL
        f"{DEVICE_TREE}/model": f"{RPI4_MODEL}\0",
        f"{DEVICE_TREE}/compatible": "raspberrypi,4-model-b\0brcm,bcm2711\0",
        THROTTLED_FILE: "0x0\n",
        **dict(_thermal_zones("cpu-thermal")),
        **dict(_cpu_frequencies(tuple(range(600_000, 1_800_001, 100_000)), "ondemand")),
        **dict(_cpu_lists()),
    },
    links=_CPU_LINKS,
    commands={"vcgencmd": VCGENCMD},
)

NVPMODEL = """\
#!/bin/sh
# nvpmodel -q: the power mode; changing it needs root, which a board's user is not
test "$1" = -q || { echo 'nvpmodel: requires root' >&2; exit 1; }
printf 'NV Power Mode: MAXN\\n0\\n'
"""
JETSON_NANO = BoardIdentity(
    name="jetson-nano",
    qemu_cpu="cortex-a57",
    uname="4.9.337-tegra",
    user="jetson",
    cpuinfo=_cpuinfo(
        bogomips="38.40",
        features="fp asimd evtstrm aes pmull sha1 sha2 crc32",
        part="0xd07",
        revision=1,
        tail="",
    ),
    files={
        f"{DEVICE_TREE}/model": "NVIDIA Jetson Nano Developer Kit\0",
        f"{DEVICE_TREE}/compatible": "nvidia,p3450-0000\0nvidia,jetson-nano\0nvidia,tegra210\0",
        "etc/nv_tegra_release": "# R32 (release), REVISION: 7.4, BOARD: t210ref, EABI: aarch64\n",
        **dict(_thermal_zones("AO-therm", "CPU-therm", "GPU-therm", "PLL-therm")),
        **dict(_cpu_frequencies((102_000, 518_400, 921_600, 1_224_000, 1_479_000), "schedutil")),
        **dict(_cpu_lists()),
    },
    links=_CPU_LINKS,
    commands={"nvpmodel": NVPMODEL},
)
