"""The host's side of the runner protocol: read ``result.jsonl``, trust it only whole."""

import json
from collections.abc import Mapping
from typing import Any

from edgepose.errors import DeviceError, EdgePoseError, RunError, RuntimeMissingError
from edgepose.files import sha256_bytes
from edgepose.runners.python import failure

Line = Mapping[str, Any]


class RunResult:
    """The lines of a finished run, by kind."""

    def __init__(self, lines: list[Line]) -> None:
        self._lines = lines

    def one(self, kind: str) -> Line:
        """The only line of ``kind``. Raises RunError where it is missing."""
        found = self.all(kind)
        if len(found) != 1:
            raise RunError(f"the runner's result holds {len(found)} lines of kind {kind!r}, not 1")
        return found[0]

    def all(self, kind: str) -> list[Line]:
        return [line for line in self._lines if line["kind"] == kind]


def is_complete(data: bytes) -> bool:
    """Whether ``data`` ends with a footer whose hash and line count fit all that precedes it."""
    if not data.endswith(b"\n"):
        return False
    body, _, last = data[:-1].rpartition(b"\n")
    try:
        footer = json.loads(last)
    except ValueError:
        return False
    if not isinstance(footer, dict) or footer.get("kind") != "footer":
        return False
    body = body + b"\n" if body else b""
    found = (footer.get("sha256"), footer.get("lines"))
    return found == (sha256_bytes(body), body.count(b"\n"))


def read_result(data: bytes, run_id: str) -> RunResult:
    """Parse a finished run's file.

    Raises RunError where it is truncated or altered, and the runner's own error by its code.
    """
    if not is_complete(data):
        raise RunError(
            f"the result of run {run_id} is truncated: its footer is missing or does not match",
            hint="Run the same command again.",
        )
    result = RunResult([json.loads(line) for line in data.splitlines()[:-1]])
    for error in result.all("error"):
        raise _runner_error(error["code"], f"run {run_id}: {error['message']}")
    return result


def _runner_error(code: int, message: str) -> EdgePoseError:
    if code == failure.RUNTIME_MISSING:
        return RuntimeMissingError(
            message,
            hint="`edgepose device doctor NAME` shows what is missing, `device setup` mends it.",
        )
    if code == failure.CORRUPT_FILE:
        return DeviceError(
            message, hint="Remove the file on the device (or its whole cache folder) and try again."
        )
    if code == failure.BAD_PLAN and "unknown mode" in message:
        return RunError(
            message, hint="An older edgepose built this bundle: `edgepose build … --force`."
        )
    return RunError(message)
