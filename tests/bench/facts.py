"""A board's facts for tests, alike but for what a test says."""

from typing import Any

from edgepose.devices.facts import DeviceFacts, PythonFacts
from edgepose.devices.sensors import Sensors


def sensors(**changes: Any) -> Sensors:
    return Sensors(
        **{
            "governors": {0: "ondemand", 1: "ondemand"},
            "current_khz": {0: 600_000, 1: 600_000},
            "max_khz": {0: 1_800_000, 1: 1_800_000},
            "temperatures_c": {"cpu-thermal": 45.0},
            "throttled": 0x50000,
            "load_1min": 0.1,
            "uptime_s": 100.0,
            "power_mode": None,
            **changes,
        }
    )


def python(**packages: str) -> PythonFacts:
    return PythonFacts(
        version="3.11.2",
        implementation="cpython",
        abiflags="",
        bits=64,
        machine="aarch64",
        libc="glibc 2.36",
        packages=packages,
    )


def facts(**changes: Any) -> DeviceFacts:
    """An idle Raspberry Pi 4 with onnxruntime."""
    return DeviceFacts(
        **{
            "kernel": "Linux 6.1.21-v8+",
            "arch": "aarch64",
            "os": "Debian GNU/Linux 12 (bookworm)",
            "model": "Raspberry Pi 4 Model B Rev 1.5",
            "cpu": "Cortex-A72",
            "cores": 4,
            "memory_mib": 3794,
            "boot_id": "b1",
            "machine_id": "m1",
            "clock_s": 1_700_000_000,
            "free_disk_mib": 4096,
            "python": python(numpy="2.4.6", onnxruntime="1.31.1"),
            "sensors": sensors(),
            **changes,
        }
    )
