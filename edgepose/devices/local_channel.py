"""A child process of ours as a stream of bytes."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Sequence

from edgepose.deadline import Deadline
from edgepose.devices.stderr_tail import StderrTail
from edgepose.errors import DeviceError

_CHUNK = 64 << 10


class LocalChannel:
    """A Channel over pipes; the program leads a process group, which ``close`` kills whole."""

    def __init__(self, argv: Sequence[str]) -> None:
        """Raises DeviceError where ``argv`` cannot start."""
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise DeviceError(f"cannot start {argv[0]}: {error.strerror}") from None
        stdin, stdout, stderr = self._process.stdin, self._process.stdout, self._process.stderr
        assert stdin is not None and stdout is not None and stderr is not None
        self._stdin, self._stdout, self._stderr = stdin, stdout, stderr
        self._ending = threading.Lock()
        self._closed = False
        self._tail = StderrTail(lambda: stderr.read(_CHUNK))

    def read(self, max_bytes: int) -> bytes:
        try:
            return self._stdout.read(max_bytes)
        except (OSError, ValueError):  # closed meanwhile
            return b""

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[self._stdin.write(view) :]
        except (OSError, ValueError):
            raise DeviceError("the program does not read its input any more") from None

    def end_input(self) -> None:
        with contextlib.suppress(OSError):
            self._stdin.close()

    def returncode(self, deadline: Deadline) -> int | None:
        try:
            code = self._process.wait(deadline.remaining_s)
        except subprocess.TimeoutExpired:
            return None
        return code if code >= 0 else 128 - code

    def stderr_tail(self) -> str:
        return self._tail.text

    def close(self) -> None:
        with self._ending:
            if self._closed:
                return
            self._closed = True
            # Also the grandchildren that hold the pipes: then every blocked call comes back.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._tail.wait(1)
            for pipe in (self._stdin, self._stdout, self._stderr):
                with contextlib.suppress(OSError):
                    pipe.close()
