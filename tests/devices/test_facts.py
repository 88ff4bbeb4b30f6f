"""Facts and sensors: read as they are, None where they are not."""

import os
import platform
import sys
from pathlib import Path

import pytest

from edgepose.devices.cpu_names import cpu_name
from edgepose.devices.facts import parse_facts, read_facts
from edgepose.devices.sections import split_sections
from edgepose.devices.sensors import parse_sensors, read_sensors

CPU = "/sys/devices/system/cpu"
ZONE = "/sys/class/thermal"
PI4 = f"""
@@kernel
Linux 6.1.21-v8+

@@arch
aarch64

@@devicetree
Raspberry Pi 4 Model B Rev 1.4\0
@@dmi

@@cpuinfo
CPU implementer\t: 0x41
CPU part\t: 0xd08
CPU implementer\t: 0x41
CPU part\t: 0xd08

@@cores
4

@@memory
MemTotal:        3885396 kB

@@boot_id
93d6e5b4-0000-0000-0000-000000000000

@@machine_id

@@os
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"

@@clock
1700000000

@@disk
Filesystem     1024-blocks    Used Available Capacity Mounted on
/dev/root         30434900 4000000  25000000      14% /

@@governors
{CPU}/cpu0/cpufreq/scaling_governor:ondemand
{CPU}/cpu10/cpufreq/scaling_governor:performance

@@current_khz
{CPU}/cpu0/cpufreq/scaling_cur_freq:600000

@@max_khz
{CPU}/cpu0/cpufreq/scaling_max_freq:1800000

@@zone_types
{ZONE}/thermal_zone0/type:cpu-thermal
{ZONE}/thermal_zone1/type:cpu-thermal

@@zone_temperatures
{ZONE}/thermal_zone0/temp:48686
{ZONE}/thermal_zone1/temp:51000

@@loadavg
0.08 0.03 0.01 1/123 4567

@@uptime
3725.52 14000.00

@@throttled
throttled=0x50005

@@python
{{"version": "3.11.2", "implementation": "cpython", "abiflags": "", "bits": 64,
"machine": "aarch64", "libc": "glibc 2.36", "packages": {{"numpy": "1.24.2"}}}}
"""


def test_the_machine_id_is_told_apart_but_not_told():
    ours, other = (parse_facts(f"\n@@machine_id\n{text}\n") for text in ("0123abcd", "0123abce"))
    assert ours.machine_id and "0123abcd" not in ours.machine_id
    assert ours.machine_id == parse_facts("\n@@machine_id\n0123abcd\n").machine_id
    assert ours.machine_id != other.machine_id


def test_a_raspberry_pi_is_read():
    facts = parse_facts(PI4)
    assert facts.model == "Raspberry Pi 4 Model B Rev 1.4"
    assert facts.cpu == "Cortex-A72"
    assert (facts.arch, facts.cores, facts.memory_mib) == ("aarch64", 4, 3794)
    assert facts.os == "Debian GNU/Linux 12 (bookworm)"
    assert facts.machine_id is None
    assert facts.free_disk_mib == 24414
    assert facts.python is not None
    assert facts.python.packages == {"numpy": "1.24.2"}
    sensors = facts.sensors
    assert sensors.governors == {0: "ondemand", 10: "performance"}
    assert (sensors.current_khz, sensors.max_khz) == ({0: 600000}, {0: 1800000})
    assert sensors.temperatures_c == {"cpu-thermal": 48.686, "cpu-thermal-1": 51.0}
    assert sensors.hottest_c == 51.0
    assert sensors.throttled == 0x50005
    assert sensors.throttled_now == ("under-voltage", "throttled")
    assert sensors.throttled_since_boot == ("under-voltage", "throttled")
    assert (sensors.load_1min, sensors.uptime_s) == (0.08, 3725.52)


@pytest.mark.parametrize(
    "text", ["", "@@cores\nmany\n@@memory\nMemTotal:\n@@disk\nx\n@@python\n{}"]
)
def test_what_is_not_there_is_none_and_not_guessed(text):
    facts = parse_facts(text)
    assert facts.cores is facts.memory_mib is facts.python is facts.free_disk_mib is None
    assert facts.model is facts.cpu is facts.sensors.throttled is facts.sensors.hottest_c is None
    assert facts.sensors.governors == {}


def test_this_machine_is_read_with_one_command(transport, tmp_path, deadline):
    facts = read_facts(
        transport, deadline, python=[sys.executable], workdir=str(tmp_path / "not" / "yet")
    )
    assert facts.arch == platform.machine()
    assert facts.cores == os.sysconf("SC_NPROCESSORS_ONLN")
    assert facts.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert facts.python is not None
    assert facts.python.version == platform.python_version()
    assert "numpy" in facts.python.packages
    assert facts.free_disk_mib is not None
    assert read_sensors(transport, deadline).uptime_s is not None


def test_a_device_without_python_has_no_python(transport, deadline):
    assert read_facts(transport, deadline, python=["edgepose-no-python"]).python is None


def test_several_kinds_of_core_are_all_named():
    text = (
        "CPU implementer : 0x41\nCPU part : 0xd05\nCPU implementer : 0x41\nCPU part : 0xd0b\n"
        "CPU implementer : 0x99\nCPU part : 0x123\n"
    )
    assert cpu_name(text) == "Cortex-A55 + Cortex-A76 + implementer 0x99 part 0x123"
    assert cpu_name("model name\t: Intel X\nmodel name\t: Intel X\n") == "Intel X"
    assert cpu_name("") is None


def test_a_jetson_names_its_power_mode():
    text = "@@nvpmodel\nNV Fan Mode:quiet\nNV Power Mode: MAXN\n0\n"
    assert parse_sensors(split_sections(text)).power_mode == "MAXN"
