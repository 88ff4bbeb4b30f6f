"""Tuning databases for tests: as TVM and edgepose write them, without running either."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from edgepose.engines.tvm.record_lines import TRIALS, WORKLOADS, read_lines
from edgepose.engines.tvm.records import About, Origin, records_folder, tvm_version, write_about

GRAPH = "ab" * 32
TARGET = {"kind": "llvm", "mcpu": "cortex-a72"}
FAILED = 1e10


def workload_line(name: int) -> bytes:
    return msgspec.json.encode([str(name), f"module of {name}"])


def trial_line(workload: int, seconds: float | None, schedule: int = 0) -> bytes:
    """A trial of the workload with this number in the file; its schedule is what tells it apart."""
    times = None if seconds is None else [seconds]
    trace = [[["Split", [schedule], [], []]], [[0, [schedule]]]]
    return msgspec.json.encode([workload, [trace, times, TARGET, None]])


def write_files(folder: Path, workloads: Iterable[bytes], trials: Iterable[bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WORKLOADS).write_bytes(b"".join(line + b"\n" for line in workloads))
    (folder / TRIALS).write_bytes(b"".join(line + b"\n" for line in trials))
    return folder


def make_database(
    root: Path,
    origin: Origin = "board",
    *,
    target: str = "rpi4",
    seconds: Iterable[float | None] = (0.002, 0.001),
    **about: Any,
) -> Path:
    """A sealed database below ``root`` with one task; returns its folder."""
    folder = records_folder(about.get("graph_hash", GRAPH), target, origin, root)
    lines = [trial_line(0, each, number) for number, each in enumerate(seconds)]
    write_files(folder, [workload_line(7)], lines)
    seal(folder, origin=origin, target=target, **about)
    return folder


def seal(folder: Path, *, origin: Origin = "board", target: str = "rpi4", **changes: Any) -> About:
    lines = read_lines(folder)
    values = {
        "model": "net",
        "graph_hash": GRAPH,
        "targets": (target,),
        "block": 4,
        "tvm_version": tvm_version(),
        "origin": origin,
        "trials": len(lines.trials),
        "failed": lines.failed,
        "devices": ("pi",),
        "created_at": "2026-11-21T10:00:00+00:00",
        "edgepose_version": "0.1.0",
        "sha256": lines.sha256,
    }
    about = About(**{**values, **changes})
    write_about(folder, about)
    return about
