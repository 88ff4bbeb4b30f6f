"""A run on a device, begun: how long each part of it may take."""

import time
from collections.abc import Sequence
from pathlib import Path

from edgepose.bench import remote_run
from edgepose.bench.remote_run import RemoteRun
from edgepose.deadline import Deadline
from edgepose.devices.local import LocalTransport


class _Plan:
    def encode(self) -> bytes:
        return b"{}"


class _Noted(LocalTransport):
    """Notes how long after the last file was sent the start may take."""

    def put(self, source: Path, destination: str, deadline: Deadline) -> None:
        super().put(source, destination, deadline)
        if destination.endswith("/big"):
            self.sent_s = time.monotonic()

    def start(self, argv: Sequence[str], log: str, deadline: Deadline) -> int:
        self.granted_s = deadline.at_s - self.sent_s
        return super().start(argv, log, deadline)


def test_the_time_that_files_take_is_not_taken_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("large")
    transport = _Noted()
    run = RemoteRun(transport, str(tmp_path / "run"), "run")
    run.start(_Plan(), ["true"], {"big": tmp_path / "file"})
    assert transport.granted_s >= remote_run._CALL_S
    assert (tmp_path / "run" / "big").read_text() == "large"
