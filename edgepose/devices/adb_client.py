"""Runs adb's own client. The server behind it is adb's as well, and started by it on demand."""

import os
import shutil
import subprocess
from collections.abc import Sequence

from edgepose.deadline import Deadline
from edgepose.devices.adb_state import parse_devices
from edgepose.errors import UnreachableError


def adb(words: Sequence[str | bytes], deadline: Deadline) -> "subprocess.CompletedProcess[bytes]":
    """Run ``adb WORDS`` with an empty input; its exit status is returned, not raised.

    Raises UnreachableError where adb is absent, or not done at the deadline; it is killed then.
    """
    client = shutil.which("adb")
    if client is None:
        raise UnreachableError(
            "adb is not installed on this host, or not on its PATH",
            hint="Install it: `apt install adb`, or Google's platform-tools.",
        )
    if not deadline.expired:
        try:
            return subprocess.run(
                [client, *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=deadline.remaining_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            pass
        except OSError as error:
            raise UnreachableError(f"{client} does not start: {error.strerror}") from None
    shown = os.fsdecode(words[2] if words[0] == "-s" else words[0])
    raise UnreachableError(
        f"`adb {shown}` had no answer before the deadline",
        hint="Allow more time, or look at what the phone is doing; "
        "if adb itself hangs, `adb kill-server`.",
    )


def adb_devices(deadline: Deadline) -> dict[str, str]:
    """Serial → state of every device that adb's server sees. Raises UnreachableError."""
    done = adb(["devices"], deadline)
    if done.returncode != 0:
        raise UnreachableError(
            f"adb's server does not answer: {said(done)}", hint="Try `adb kill-server`."
        )
    return parse_devices(done.stdout.decode(errors="replace"))


def said(done: "subprocess.CompletedProcess[bytes]") -> str:
    """Why adb failed, in its words: the last thing it said on either stream."""
    for stream in (done.stderr, done.stdout):
        if lines := stream.decode(errors="replace").strip().splitlines():
            first = next((line for line in lines if "error:" in line), lines[-1])
            return first.strip()
    return f"exit status {done.returncode}"
