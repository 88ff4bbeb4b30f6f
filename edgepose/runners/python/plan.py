"""Read a plan, or make one for a bundle that was started by hand."""

import hashlib
import json
import os
from typing import Any, Dict

from .failure import BAD_PLAN, CORRUPT_FILE, RunnerFailure

PROTOCOL = 1
MODES = ("prove", "time", "profile", "infer")
KEYS = (
    *("run_id", "engine", "artifact", "options", "inputs", "outputs", "golden", "sha256"),
    *("threads", "cpus", "warmup_min", "warmup_max", "runs", "gate", "sensor_period_s"),
)


def read_plan(folder: str) -> Dict[str, Any]:
    """The plan in ``folder`` as a dict, its protocol number and files checked."""
    try:
        with open(os.path.join(folder, "plan.json")) as file:
            plan: Dict[str, Any] = json.load(file)
    except (OSError, ValueError) as error:
        raise RunnerFailure(BAD_PLAN, "plan.json cannot be read: %s" % error) from None
    if not isinstance(plan, dict):
        raise RunnerFailure(BAD_PLAN, "plan.json holds no object")
    if plan.get("protocol") != PROTOCOL:
        raise RunnerFailure(
            BAD_PLAN, "protocol %r, this runner speaks %d" % (plan.get("protocol"), PROTOCOL)
        )
    if plan.get("mode") not in MODES:
        raise RunnerFailure(BAD_PLAN, "unknown mode %r" % (plan.get("mode"),))
    missing = [key for key in KEYS if key not in plan]
    if missing:
        raise RunnerFailure(BAD_PLAN, "the plan lacks %s" % ", ".join(missing))
    if plan["mode"] == "infer" and not plan.get("batch"):
        raise RunnerFailure(BAD_PLAN, "the plan lacks batch")
    for path, expected in sorted(plan["sha256"].items()):
        check_file(path, expected)
    return plan


def plan_from_bundle(folder: str, mode: str) -> Dict[str, Any]:
    """A plan of the ``paper`` profile (50 + 200) for the bundle in ``folder``."""
    try:
        with open(os.path.join(folder, "manifest.json")) as file:
            manifest = json.load(file)
    except (OSError, ValueError) as error:
        raise RunnerFailure(
            BAD_PLAN, "%s is neither a run nor a bundle: %s" % (folder, error)
        ) from None

    def at(name: str) -> str:
        return os.path.join(folder, name)

    return {
        "protocol": PROTOCOL,
        "run_id": "by-hand-" + mode,
        "mode": mode,
        "engine": manifest["recipe"]["engine"],
        "artifact": {name: at(name) for name in manifest["artifact"]["files"]},
        "options": manifest["artifact"]["options"],
        "inputs": manifest["inputs"],
        "outputs": manifest["outputs"],
        "golden": [
            {
                "name": case["name"],
                "inputs": {tensor: at(name) for tensor, name in case["inputs"].items()},
                "outputs": {tensor: at(name) for tensor, name in case["outputs"].items()},
            }
            for case in manifest["golden"]
        ],
        "sha256": {at(name): digest for name, digest in manifest["files"].items()},
        "threads": 1,
        "cpus": None,
        "warmup_min": 50,
        "warmup_max": 50,
        "runs": 200,
        "gate": manifest["recipe"]["gates"]["tensor"],
        "sensor_period_s": 0,
    }


def check_file(path: str, expected: str) -> None:
    """Raise unless the file at ``path`` has the sha256 ``expected``."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
    except OSError as error:
        raise RunnerFailure(CORRUPT_FILE, "%s cannot be read: %s" % (path, error)) from None
    if digest.hexdigest() != expected:
        raise RunnerFailure(CORRUPT_FILE, "%s is corrupt: its sha256 is not %s" % (path, expected))
