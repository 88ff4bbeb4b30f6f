"""How the benchmarks write what they saw: JSON with everything, and a short Markdown table."""

import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import edgepose
from edgepose.files import write_atomic
from edgepose.fingerprint import package_version
from edgepose.provenance import git_commit
from edgepose.targets import load_target

_PACKAGES = ("numpy", "onnxruntime", "openvino", "ncnn", "apache-tvm", "torch")
RESULTS = Path(__file__).parent / "results"


def circumstances() -> dict[str, Any]:
    """When, where and with what a benchmark runs. Call it first: the load is that of now."""
    host = load_target("host")
    module = f"benchmarks.{Path(sys.argv[0]).stem}"
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", module, *map(_without_folders, sys.argv[1:])]),
        "machine": f"{host.cpu.name}, {host.cpu.cores} cores, {platform.system()} "
        f"{platform.release()}",
        "load_before": os.getloadavg()[0],
        "versions": {
            "edgepose": f"{edgepose.__version__} ({git_commit()})",
            "python": platform.python_version(),
            **{name: text for name in _PACKAGES if (text := package_version(name))},
        },
    }


def _without_folders(argument: str) -> str:
    """A path of the machine is nobody else's."""
    option, equals, value = argument.rpartition("=")
    return f"{option}{equals}{Path(value).name}" if Path(value).is_absolute() else argument


def write_results(
    name: str,
    found: dict[str, Any],
    data: dict[str, Any],
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    notes: Sequence[str],
) -> None:
    """Write ``results/<name>.json`` and ``.md``, and print the latter."""
    found = {**found, "load_after": os.getloadavg()[0]}
    text = json.dumps({"schema_version": 1, **found, **data}, indent=1)
    write_atomic(RESULTS / f"{name}.json", text + "\n")
    versions = ", ".join(f"{tool} {text}" for tool, text in found["versions"].items())
    lines = [
        f"# {name}",
        "",
        f"{found['date']}, `{found['command']}`  ",
        f"{found['machine']}; load average {found['load_before']:.2f} before, "
        f"{found['load_after']:.2f} after  ",
        versions,
        "",
        *(f"| {' | '.join(cells)} |" for cells in (headers, ["---"] * len(headers), *rows)),
        "",
        *(f"- {note}" for note in notes),
    ]
    write_atomic(RESULTS / f"{name}.md", "\n".join(lines).rstrip() + "\n")
    print("\n".join(lines))
