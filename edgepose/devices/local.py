"""This machine as a device."""

import contextlib
import errno
import os
import secrets
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from edgepose.deadline import Deadline
from edgepose.devices import shell
from edgepose.devices.local_channel import LocalChannel
from edgepose.devices.transport import Completed
from edgepose.errors import DeviceError, DeviceFullError, UnreachableError

_CHUNK = 1 << 20


class LocalTransport:
    """Runs commands as child processes; a deadline kills the whole process group."""

    def run(self, argv: Sequence[str], deadline: Deadline) -> Completed:
        shell.check_argv(argv)
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            # What a login shell would answer, so that callers need not tell transports apart.
            status = 127 if isinstance(error, FileNotFoundError) else 126
            return Completed(tuple(argv), status, b"", f"{argv[0]}: {error.strerror}\n".encode())
        with process:
            try:
                stdout, stderr = process.communicate(timeout=deadline.remaining_s)
            except subprocess.TimeoutExpired:
                raise UnreachableError(
                    f"{argv[0]} on this machine did not finish before the deadline",
                    hint="Allow more time, or look at what the machine is doing.",
                ) from None
            finally:
                # Also after Ctrl-C, and for grandchildren that still hold the pipes.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        code = process.returncode
        return Completed(tuple(argv), code if code >= 0 else 128 - code, stdout, stderr)

    def start(self, argv: Sequence[str], log: str, deadline: Deadline) -> int:
        return shell.detached_pid(self.run(shell.detached(argv, log), deadline), argv)

    def open(self, argv: Sequence[str], deadline: Deadline) -> LocalChannel:
        shell.check_argv(argv)
        return LocalChannel(argv)

    def put(self, source: Path, destination: str, deadline: Deadline) -> None:
        shell.check_path(destination)
        if Path(destination).is_dir():
            raise DeviceError(f"cannot write {destination}: is a directory")
        _copy(source, Path(destination), deadline, "write")

    def get(self, source: str, destination: Path, deadline: Deadline) -> None:
        shell.check_path(source)
        _copy(Path(source), destination, deadline, "read")

    def close(self) -> None:
        """Nothing is held open."""


def _copy(source: Path, destination: Path, deadline: Deadline, verb: str) -> None:
    part = destination.with_name(f"{destination.name}.part-{secrets.token_hex(8)}")
    try:
        with source.open("rb") as reader, part.open("xb") as writer:
            while chunk := reader.read(_CHUNK):
                if deadline.expired:
                    raise UnreachableError(f"copying {source} did not finish before the deadline")
                writer.write(chunk)
            os.fchmod(writer.fileno(), os.fstat(reader.fileno()).st_mode & 0o777)
        part.replace(destination)
    except OSError as error:
        message = f"cannot {verb} {error.filename or destination}: {error.strerror}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DeviceFullError(message, hint="Free some space and try again.") from None
        raise DeviceError(message) from None
    finally:
        part.unlink(missing_ok=True)
