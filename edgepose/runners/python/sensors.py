"""Read temperatures, clocks and throttle bits beside a run, in a process of its own.

What the board does not let us read is left out, never guessed. Python 3.6-safe.
"""

import contextlib
import glob
import json
import os
import subprocess
import sys
import time
from typing import Any, Dict, Iterable, List, Optional, Set


def read_sensors() -> Dict[str, Any]:
    """One reading: ``temperatures_c`` by zone, ``clocks_mhz`` by core, ``throttled`` or None."""
    temperatures = _temperatures_c("/sys/class/thermal")
    clocks = {}
    for path in sorted(glob.glob("/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")):
        value = _number(path)
        if value is not None:
            clocks[path.split("/")[5]] = value / 1000.0
    return {"temperatures_c": temperatures, "clocks_mhz": clocks, "throttled": _throttled()}


def sample_forever(path: str, period_s: float, parent: int, avoid: Iterable[int]) -> None:
    """Append a reading to ``path`` every ``period_s`` seconds, off the cores ``avoid``.

    Ends when the process ``parent`` does, or at once where there is nothing to read.
    """
    _leave(set(avoid))
    start = time.time()
    with open(path, "w") as file:
        while os.getppid() == parent:
            reading = read_sensors()
            if not any(reading.values()):
                return
            reading["at_ms"] = int((time.time() - start) * 1000)
            file.write(json.dumps(reading, sort_keys=True) + "\n")
            file.flush()
            time.sleep(period_s)


class SensorProcess:
    """``sample_forever`` in a child process; ``stop`` returns all readings."""

    def __init__(self, folder: str, period_s: float, avoid: Iterable[int]) -> None:
        self._path = os.path.join(folder, "sensors.jsonl")
        numbers = [str(period_s), str(os.getpid())] + [str(core) for core in avoid]
        words = [sys.executable, sys.argv[0], "--sensors", self._path]
        self._child = subprocess.Popen(words + numbers)

    def stop(self) -> List[Dict[str, Any]]:
        self._child.kill()
        self._child.wait()
        try:
            with open(self._path) as file:
                lines = file.read().split("\n")[:-1]  # what follows the last newline is torn
        except OSError:
            return []
        return [json.loads(line) for line in lines]


def _leave(cores: Set[int]) -> None:
    """Move to the other cores, where there are any. We start on ``cores``, as our parent did."""
    others = set(range(os.cpu_count() or 1)) - cores
    if cores and others:
        with contextlib.suppress(OSError):  # none of them is ours
            os.sched_setaffinity(0, others)


def _temperatures_c(folder: str) -> Dict[str, float]:
    temperatures: Dict[str, float] = {}
    for zone in sorted(glob.glob(os.path.join(folder, "thermal_zone*"))):
        value = _number(os.path.join(zone, "temp"))
        if value is not None:
            name = _text(os.path.join(zone, "type")) or os.path.basename(zone)
            if name in temperatures:  # some kernels have several zones of one type
                name += "-" + zone.rpartition("thermal_zone")[2]
            temperatures[name] = value / 1000.0
    return temperatures


def _throttled() -> Optional[str]:
    """The Raspberry Pi firmware's throttle bits, as it prints them (``0x0``), or None."""
    try:
        text = subprocess.check_output(["vcgencmd", "get_throttled"], stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return None
    return text.decode().strip().partition("=")[2] or None


def _text(path: str) -> Optional[str]:
    try:
        with open(path) as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError):
        return None


def _number(path: str) -> Optional[float]:
    try:
        return float(_text(path) or "")
    except ValueError:
        return None
