"""What makes an emulated phone look like one kind of phone: properties, system files, services.

The texts follow Android's public sources and documentation. None was recorded on a physical phone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.emulation.identity import CPU_FOLDER, THERMAL_FOLDER


@dataclass(frozen=True)
class PhoneIdentity:
    """``files`` are paths relative to `/`; ``services`` is what `dumpsys NAME` prints."""

    name: str
    qemu_cpu: str
    uname: str
    cpuinfo: str
    properties: Mapping[str, str]
    files: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    features: tuple[str, ...] = ("shell_v2", "cmd", "fixed_push_mkdir")

    def banner(self, state: str = "device") -> str:
        """How adbd introduces the phone; ``state`` may be `recovery` or `sideload`."""
        names = ("ro.product.name", "ro.product.model", "ro.product.device")
        properties = "".join(f"{name}={self.properties[name]};" for name in names)
        return f"{state}::{properties}features={','.join(self.features)}"


def battery_text(level: int, charging: bool, celsius: float = 29.0) -> str:
    """What `dumpsys battery` prints."""
    return (
        "Current Battery Service state:\n"
        "  AC powered: false\n"
        f"  USB powered: {str(charging).lower()}\n"
        "  Wireless powered: false\n"
        "  Max charging current: 500000\n"
        "  Max charging voltage: 5000000\n"
        "  Charge counter: 2100000\n"
        f"  status: {2 if charging else 3}\n"
        "  health: 2\n"
        "  present: true\n"
        f"  level: {level}\n"
        "  scale: 100\n"
        "  voltage: 4200\n"
        f"  temperature: {round(celsius * 10)}\n"
        "  technology: Li-ion\n"
    )


def thermal_text(status: int, skin_celsius: float = 32.0) -> str:
    """What `dumpsys thermalservice` prints; 3 and above is severe."""
    temperatures = (
        f"\tTemperature{{mValue=45.0, mType=0, mName=CPU0, mStatus={status}}}\n"
        f"\tTemperature{{mValue={skin_celsius}, mType=3, mName=skin, mStatus={status}}}\n"
    )
    return (
        "IsStatusOverride: false\n"
        "ThermalEventListeners:\n\tcallbacks: 1\n\tkilled: false\n\tbroadcasts count: -1\n"
        f"Thermal Status: {status}\n"
        f"Cached temperatures:\n{temperatures}"
        "HAL Ready: true\n"
        "HAL connection:\n\tThermalHAL 2.0 connected: yes\n"
        f"Current temperatures from HAL:\n{temperatures}"
        "Current cooling devices from HAL:\n"
    )


def power_text(awake: bool) -> str:
    """The lines of `dumpsys power` that tell whether the screen is on."""
    word = "Awake" if awake else "Asleep"
    return f"POWER MANAGER (dumpsys power)\n\nPower Manager State:\n  mWakefulness={word}\n"


def _clusters(*clusters: tuple[tuple[int, ...], int, int]) -> Iterator[tuple[str, str]]:
    """cpufreq policies and capacities; a cluster is its cores, its highest kHz, its capacity."""
    count = sum(len(cores) for cores, _, _ in clusters)
    for name in ("online", "possible", "present"):
        yield f"{CPU_FOLDER}/{name}", f"0-{count - 1}\n"
    for cores, kilohertz, capacity in clusters:
        listed = " ".join(map(str, cores))
        values = {
            "affected_cpus": listed,
            "related_cpus": listed,
            "cpuinfo_max_freq": kilohertz,
            "cpuinfo_min_freq": 300_000,
            "scaling_cur_freq": kilohertz,
            "scaling_governor": "schedutil",
            "scaling_max_freq": kilohertz,
            "scaling_min_freq": 300_000,
        }
        for core in cores:
            yield f"{CPU_FOLDER}/cpu{core}/cpu_capacity", f"{capacity}\n"
            for name, value in values.items():
                yield f"{CPU_FOLDER}/cpu{core}/cpufreq/{name}", f"{value}\n"
        for name, value in values.items():
            yield f"{CPU_FOLDER}/cpufreq/policy{cores[0]}/{name}", f"{value}\n"


def _thermal_zones(*names: str) -> Iterator[tuple[str, str]]:
    for number, name in enumerate(names):
        yield f"{THERMAL_FOLDER}/thermal_zone{number}/type", f"{name}\n"
        yield f"{THERMAL_FOLDER}/thermal_zone{number}/temp", "45000\n"


def _cpuinfo(parts: tuple[str, ...], hardware: str) -> str:
    blocks = [
        f"processor\t: {number}\n"
        "BogoMIPS\t: 38.40\n"
        "Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid "
        "asimdrdm lrcpc dcpop asimddp\n"
        "CPU implementer\t: 0x51\nCPU architecture: 8\nCPU variant\t: 0xd\n"
        f"CPU part\t: {part}\nCPU revision\t: 14\n\n"
        for number, part in enumerate(parts)
    ]
    return "Processor\t: AArch64 Processor rev 14 (aarch64)\n" + "".join(blocks) + hardware


SNAPDRAGON_865 = PhoneIdentity(
    name="phone-865",
    qemu_cpu="cortex-a76",
    uname="4.19.110-perf",
    cpuinfo=_cpuinfo(("0x805",) * 4 + ("0x804",) * 4, "Hardware\t: Qualcomm SM8250\n"),
    properties={
        "ro.board.platform": "kona",
        "ro.boot.hardware": "qcom",
        "ro.build.version.release": "11",
        "ro.build.version.sdk": "30",
        "ro.hardware": "qcom",
        "ro.product.board": "kona",
        "ro.product.cpu.abi": "arm64-v8a",
        "ro.product.cpu.abilist": "arm64-v8a,armeabi-v7a,armeabi",
        "ro.product.device": "emu865",
        "ro.product.manufacturer": "edgepose",
        "ro.product.model": "Emulated 865",
        "ro.product.name": "emu865",
        "ro.soc.manufacturer": "QTI",
        "ro.soc.model": "SM8250",
    },
    files={
        **dict(
            _clusters(
                ((0, 1, 2, 3), 1804800, 350), ((4, 5, 6), 2419200, 890), ((7,), 2841600, 1024)
            )
        ),
        **dict(_thermal_zones("cpu-0-0-usr", "cpu-1-0-usr", "gpuss-0-usr", "battery")),
    },
    services={
        "battery": battery_text(80, charging=True),
        "power": power_text(awake=False),
        "thermalservice": thermal_text(0),
    },
    settings={"global/stay_on_while_plugged_in": "0", "global/low_power": "0"},
)

# Stand-ins for Android's tools; each answers from files that a test can change.
GETPROP = """\
#!/system/bin/sh
# getprop [NAME [DEFAULT]]; one file per property
cd /vendor/properties || exit 1
if [ $# -eq 0 ]
then for name in *; do echo "[$name]: [$(cat "$name")]"; done
elif [ -s "$1" ]
then cat "$1"
else echo "${2-}"
fi
"""
DUMPSYS = """\
#!/system/bin/sh
# dumpsys SERVICE
cat "/vendor/services/$1" 2>/dev/null || { echo "Can't find service: $1"; exit 20; }
"""
SETTINGS = """\
#!/system/bin/sh
# settings get NAMESPACE NAME
[ "$1" = get ] || { echo "not in this emulated phone: settings $1" >&2; exit 255; }
cat "/vendor/settings/$2/$3" 2>/dev/null || echo null
"""
COMMANDS = {"getprop": GETPROP, "dumpsys": DUMPSYS, "settings": SETTINGS}
