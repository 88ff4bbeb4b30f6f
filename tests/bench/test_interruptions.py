"""Measurements on this machine that somebody disturbs: killed runners, killed commands."""

import json
import os
import signal
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edgepose import bench
from edgepose.bench.store import RecordStore
from edgepose.bundle import Bundle
from edgepose.errors import RunError
from tests.bench.under_way import (
    bench_elsewhere,
    is_whole,
    pending,
    result_of,
    runner_of,
    runs,
    samples_in,
    wait_for,
)

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.mark.parametrize("name", ["prove", "p0"])
def test_a_killed_runner_is_named_and_the_next_measurement_starts_anew(
    slow: Bundle, name: str
) -> None:
    killer = threading.Thread(
        target=lambda: os.kill(wait_for(lambda: runner_of(name)), signal.SIGKILL)
    )
    killer.start()
    with pytest.raises(RunError, match=rf"runner of \S+-{name} was killed") as caught:
        bench(slow, profile="paper")
    killer.join()
    assert "The same command starts anew" in caught.value.hint
    assert not pending()
    assert not list(runs().iterdir())
    assert not RecordStore().path.exists()
    assert len(bench(slow, profile="paper", budget_s=1).runs) == 1


def test_the_same_command_re_attaches_to_the_runs_of_one_that_was_killed(
    slow: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with bench_elsewhere(slow, "trust", 10) as command:
        first = wait_for(lambda: is_whole(result_of("p0")))
        os.link(first, tmp_path / "first")
        running = wait_for(lambda: result_of("p1"))
        os.link(running, tmp_path / "second")
        runner = wait_for(lambda: runner_of("p1"))
        command.kill()
    session = running.parent.name.removesuffix("-p1")
    header = (tmp_path / "second").read_bytes().splitlines()[0]
    assert json.loads(header)["pid"] == runner
    killed_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    time.sleep(1.1)  # headers tell the time in whole seconds

    with caplog.at_level("INFO", "edgepose"):
        record = bench(slow, profile="trust", budget_s=10)
    assert f"re-attaching to session {session}" in caplog.text
    assert record.session_id == session
    assert len(record.runs) == record.effort.processes > 2
    assert {len(run.samples_ns) for run in record.runs} == {record.effort.runs}
    # The links still show what the two processes wrote: neither was started a second time.
    assert (tmp_path / "second").read_bytes().splitlines()[0] == header
    for run, name in zip(record.runs[:2], ("first", "second"), strict=True):
        assert run.started_at <= killed_at
        assert samples_in(tmp_path / name) == run.samples_ns
    assert record.runs[2].started_at > killed_at
    assert not list(runs().iterdir())
    assert not pending()


def test_an_interrupted_command_takes_its_runner_along(slow: Bundle) -> None:
    with bench_elsewhere(slow, "paper", 300) as command:
        wait_for(lambda: result_of("p0"))
        assert runner_of("p0")
        command.send_signal(signal.SIGINT)
    assert command.returncode != 0
    assert runner_of("p0") is None
    assert not pending()
    assert not list(runs().iterdir())
