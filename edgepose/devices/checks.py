"""What the doctor thinks of a board's facts: pure functions, one per question."""

from collections.abc import Mapping

from edgepose.devices.check import Check, Verdict
from edgepose.devices.facts import DeviceFacts
from edgepose.devices.python import Import, modules_of, split_requirement
from edgepose.devices.sensors import Sensors
from edgepose.targets import Target

_WARM_C, _HOT_C = 65.0, 80.0
_LOW_MIB, _EMPTY_MIB = 1024, 200
_BUSY_SHARE = 0.15
_SKEW_S = 60


def check_arch(facts: DeviceFacts, target: Target) -> Check:
    if facts.arch is None:
        return Check("architecture", "UNKNOWN", "the device does not say")
    kind = {"arm64": "aarch64", "amd64": "x86_64"}.get(facts.arch, facts.arch)
    if kind != target.arch:
        text = f"{facts.arch}, but target {target.name} is {target.arch}"
        return Check("architecture", "CRITICAL", text, "Correct `target` in devices.toml.")
    if facts.python and facts.python.bits != 64:
        text = f"{facts.arch} with {facts.python.bits}-bit programs"
        return Check("architecture", "CRITICAL", text, "Install the 64-bit system image.")
    return Check("architecture", "PASS", kind)


def check_python(facts: DeviceFacts, target: Target, command: str) -> Check:
    if facts.python is None:
        text = f"no working {command}"
        return Check("python", "CRITICAL", text, "sudo apt install python3 (on the device)")
    found = ".".join(facts.python.version.split(".")[:2])
    expected = ".".join((target.system.python or found).split(".")[:2])
    if found != expected:
        text = f"{facts.python.version}; target {target.name} was chosen for {expected}"
        fix = "Check that the target's runtimes exist for it, or make a target of your own."
        return Check("python", "WARNING", text, fix)
    return Check("python", "PASS", f"{facts.python.version}, {facts.python.libc or 'not glibc'}")


def check_workdir(folder: str, writable: bool, reason: str, facts: DeviceFacts) -> Check:
    free = facts.free_disk_mib
    if not writable:
        fix = "Give the device a `workdir` that its user may write to, in devices.toml."
        return Check("work folder", "CRITICAL", f"{folder}: {reason}", fix)
    if free is None:
        return Check("work folder", "UNKNOWN", f"{folder}: free space cannot be read")
    text = f"{folder}: {free} MiB free"
    if free < _LOW_MIB:
        verdict: Verdict = "CRITICAL" if free < _EMPTY_MIB else "WARNING"
        return Check("work folder", verdict, text, "Free some space on the device.")
    return Check("work folder", "PASS", text)


def check_runtime(
    engine: str, target: Target, facts: DeviceFacts, imports: Mapping[str, Import], fix: str
) -> Check:
    """Whether everything that ``engine`` imports is there, at the target's exact versions."""
    name = f"runtime {engine}"
    for module in modules_of(target, engine):
        outcome = imports.get(module)
        if outcome is None or outcome.error:
            reason = outcome.error if outcome else "not tried"
            return Check(name, "WARNING", f"{module} does not import: {reason}", fix)
    found = facts.python.packages if facts.python else {}
    runtime = target.runtimes.get(engine)
    wanted = dict(split_requirement(text) for text in runtime.packages) if runtime else {}
    for package, version in wanted.items():
        if found.get(package) != version:
            text = f"{package} {found.get(package, 'of unknown version')} instead of {version}"
            return Check(name, "WARNING", text, fix)
    versions = (f"{each} {imports[each].version}".strip() for each in modules_of(target, engine))
    return Check(name, "PASS", ", ".join(versions))


def check_governor(sensors: Sensors) -> Check:
    kinds = sorted(set(sensors.governors.values()))
    if not kinds:
        return Check("governor", "UNKNOWN", "the device has no cpufreq")
    if kinds != ["performance"]:
        fix = (
            "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor "
            "(on the device)"
        )
        return Check("governor", "WARNING", f"{', '.join(kinds)}: clocks will vary", fix)
    return Check("governor", "PASS", "performance")


def check_temperature(sensors: Sensors) -> Check:
    hottest = sensors.hottest_c
    if hottest is None:
        return Check("temperature", "UNKNOWN", "the device has no thermal zones")
    text = f"{hottest:.0f} °C at the hottest"
    if hottest >= _WARM_C:
        verdict: Verdict = "CRITICAL" if hottest >= _HOT_C else "WARNING"
        return Check("temperature", verdict, text, "Let it cool down, or cool it.")
    return Check("temperature", "PASS", text)


def check_throttling(sensors: Sensors) -> Check:
    if sensors.throttled is None:
        return Check("throttling", "UNKNOWN", "the device does not report it")
    if sensors.throttled_now:
        fix = "Use a stronger power supply and cooling, then reboot."
        return Check("throttling", "CRITICAL", f"now: {', '.join(sensors.throttled_now)}", fix)
    if sensors.throttled_since_boot:
        text = f"since boot: {', '.join(sensors.throttled_since_boot)}"
        return Check("throttling", "WARNING", text, "Check power supply and cooling.")
    return Check("throttling", "PASS", "none since boot")


def check_clock(facts: DeviceFacts, host_s: float) -> Check:
    if facts.clock_s is None:
        return Check("clock", "UNKNOWN", "the device does not say")
    skew = facts.clock_s - host_s
    if abs(skew) > _SKEW_S:
        text = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this host"
        fix = "sudo timedatectl set-ntp true (on the device)"
        return Check("clock", "WARNING", text, fix)
    return Check("clock", "PASS", f"within {_SKEW_S} s of this host")


def check_load(facts: DeviceFacts) -> Check:
    load, cores = facts.sensors.load_1min, facts.cores
    if load is None or not cores:
        return Check("foreign load", "UNKNOWN", "the device does not say")
    text = f"{load:.2f} on {cores} cores over the last minute"
    if load / cores > _BUSY_SHARE:
        return Check("foreign load", "WARNING", text, "See with `top` what runs there; stop it.")
    return Check("foreign load", "PASS", text)
