"""Real tunings of a small net on this host: through the tracker, the server and the records."""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgepose.build import build
from edgepose.devices.device import Device
from edgepose.devices.inventory import add_device
from edgepose.engines.tvm.process import Event
from edgepose.engines.tvm.record_lines import TRIALS, read_lines
from edgepose.engines.tvm.records import best_records, load_records
from edgepose.errors import DeviceError, RunError, UsageError
from edgepose.tuning.cost import probe
from edgepose.tuning.session import tune
from edgepose.tuning.subject import find_subject
from tests.own_cache import own_cache
from tests.tiny_nets import save_heatmap_net
from tests.tuning.databases import make_database
from tests.tuning.small import ROOT, SETTINGS, kill, processes_of, tuning

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A net of a few tasks, in a folder and with user data of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEPOSE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("EDGEPOSE_CACHE", own_cache(tmp_path / "cache"))
    return save_heatmap_net(tmp_path / "net.onnx")


def test_a_tuning_covers_every_task_and_a_build_uses_what_it_found(net: Path) -> None:
    untuned = build(str(net), recipe="tvm-autoscheduler", into="untuned")
    assert untuned.manifest.tuning and untuned.manifest.tuning.tuned == "no"

    result = tune(str(net), trials=12, settings=SETTINGS)
    assert (result.why, result.tasks_missing, result.share) == ("trials", 0, 1.0)
    about = result.about
    assert (about.trials, about.origin, about.devices) == (12, "board", ("local",))
    assert result.estimate_ms > 0

    tuned = build(str(net), into="tuned")
    assert tuned.manifest.recipe.name == "tvm-autoscheduler"
    assert tuned.manifest.proof.passed
    told = tuned.manifest.tuning
    records = best_records(find_subject(str(net), "host").graph_hash, "host")
    assert told and records
    assert (told.tuned, told.trials, told.tuned_share) == ("board", 12, 1.0)
    assert told.tasks == told.tuned_tasks == result.tasks
    assert told.records_sha256 == records.sha256
    assert tuned.manifest.bundle_id != untuned.manifest.bundle_id
    assert not {"torch", "tvm", "onnx"} & modules_of_a_cached_build(net)
    golden = tuned.golden()[0]
    outputs = tuned.session().run(golden.inputs)
    np.testing.assert_allclose(outputs["heatmaps"], golden.outputs["heatmaps"], rtol=1e-4)


def modules_of_a_cached_build(net: Path) -> set[str]:
    code = (
        "import sys; from edgepose.build import build; "
        "build(sys.argv[1], recipe='tvm-autoscheduler', into='tuned'); print(*sys.modules)"
    )
    words = [sys.executable, "-c", code, str(net)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    assert "compiling" not in done.stderr
    return set(done.stdout.split())


def test_what_was_tuned_is_no_reason_to_build_another_net_of_its_name_with_tvm(
    net: Path, tmp_path: Path
) -> None:
    make_database(tmp_path / "data" / "tuning", target="host", model="net", block=8)
    assert build(str(net)).manifest.recipe.name == "onnxruntime-fp32"
    # Nor where there is a proxy of its own: nobody has measured that on a board.
    own = find_subject(str(net), "host").graph_hash
    make_database(
        tmp_path / "data" / "tuning", "proxy", target="host", model="net", graph_hash=own, block=8
    )
    assert best_records(own, "host") is not None
    assert build(str(net), into="again").manifest.recipe.name == "onnxruntime-fp32"


def test_the_same_command_again_measures_nothing_twice(net: Path) -> None:
    events: list[Event] = []
    tune(str(net), trials=4, settings=SETTINGS)
    result = tune(str(net), trials=10, settings=SETTINGS, on_event=events.append)
    assert events[0]["trials"] == 4
    lines = read_lines(result.folder)
    assert len(lines.trials) == 10
    assert len({(trial.workload, trial.key) for trial in lines.trials}) == 10
    assert load_records(result.folder).trials == 10


def test_a_session_killed_at_any_moment_resumes_with_no_record_lost(
    net: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    moments = random.Random()  # other ones in every run
    seen = b""
    for least in (1, 4):
        with tuning(net, trials=12) as process:
            wait_for(lambda least=least: len(lines_in(folder)) >= least or ended(process))
            time.sleep(moments.uniform(0, 0.3))
            process.kill()
            process.wait()
        wait_for(lambda: not processes_of(tmp_path))
        content = b"".join(lines_in(folder))
        assert content.startswith(seen)
        seen = content
    result = tune(str(net), trials=12, settings=SETTINGS)
    assert (result.folder / TRIALS).read_bytes().startswith(seen)
    assert result.about.trials == 12
    assert result.about.sha256 == read_lines(result.folder).sha256


def lines_in(data: Path) -> list[bytes]:
    """The whole lines of the one file of trials below ``data``."""
    for path in data.rglob(TRIALS):
        return [line for line in path.read_bytes().splitlines(True) if line.endswith(b"\n")]
    return []


def ended(process: object) -> bool:
    return process.poll() is not None  # type: ignore[attr-defined,no-any-return]


def wait_for(condition: object, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def test_a_killed_tuning_process_ends_with_all_it_started_and_is_named(
    net: Path, tmp_path: Path
) -> None:
    def kill_the_worker(event: Event) -> None:
        if event["event"] == "round":
            for number, words in processes_of(tmp_path).items():
                if "edgepose.tuning.worker" in words:
                    kill(number)

    with pytest.raises(Exception, match="tuning died of SIGKILL"):
        tune(str(net), trials=12, settings=SETTINGS, on_event=kill_the_worker)
    wait_for(lambda: not processes_of(tmp_path), 20)


def test_an_interrupted_session_leaves_no_process_and_a_sealed_database(
    net: Path, tmp_path: Path
) -> None:
    def interrupt(event: Event) -> None:
        if event["event"] == "round":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(str(net), trials=12, settings=SETTINGS, on_event=interrupt)
    wait_for(lambda: not processes_of(tmp_path), 20)
    records = best_records(find_subject(str(net), "host").graph_hash, "host")
    assert records and records.trials == 2 and records.about.sha256


def test_servers_that_die_cost_no_candidate_its_record(net: Path, tmp_path: Path) -> None:
    with killing_servers(tmp_path, times=4):
        result = tune(str(net), trials=10, settings=SETTINGS)
    assert (result.about.trials, result.about.failed) == (10, 0)


def test_a_board_that_is_lost_for_good_ends_the_tuning_with_its_cause(
    net: Path, tmp_path: Path
) -> None:
    workdir = tmp_path / "board"
    add_device(Device(name="board", target="host", transport="local", workdir=str(workdir)))

    def break_the_board(event: Event) -> None:
        if event["event"] == "round":
            for file in workdir.glob("cache/*"):
                file.unlink()

    settings = msgspec.structs.replace(SETTINGS, board_wait_s=5.0)
    with pytest.raises(RunError, match=r"no board could time .*; board: cannot start") as caught:
        tune(str(net), devices=["board"], trials=12, settings=settings, on_event=break_the_board)
    assert "What was measured is kept" in caught.value.hint
    records = best_records(find_subject(str(net), "host").graph_hash, "host")
    assert records and records.trials >= 2


@contextmanager
def killing_servers(folder: Path, times: int) -> Iterator[None]:
    """Kill a measuring server now and then, ``times`` in all."""
    done = threading.Event()
    killed = []

    def work() -> None:
        while len(killed) < times and not done.wait(0.7):
            servers = [
                number
                for number, words in processes_of(folder).items()
                if "/runs/tune-" in words and number not in killed
            ]
            for number in servers[:1]:
                kill(number)
                killed.append(number)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert killed


def test_a_proxy_stands_in_for_the_target_and_boards_start_from_it(net: Path) -> None:
    result = tune(str(net), "rpi4", proxy=True, trials=12, settings=SETTINGS, serves=["rpi5"])
    assert (result.about.origin, result.about.block) == ("proxy", 4)
    for target in ("rpi4", "rpi5"):
        records = best_records(find_subject(str(net), target).graph_hash, target)
        assert records and records.about.origin == "proxy"
    bundle = build(str(net), "rpi4", "tvm-autoscheduler")
    assert bundle.manifest.tuning and bundle.manifest.tuning.tuned == "proxy"
    assert bundle.manifest.tuning.tuned_share == 1.0


def test_a_dry_run_tells_tasks_and_time_and_leaves_nothing(net: Path, tmp_path: Path) -> None:
    cost = probe(str(net), trials=500, settings=SETTINGS)
    assert len(cost.tasks) >= 3 and all(task.weight == 1 for task in cost.tasks)
    assert sum(task.share for task in cost.tasks) == pytest.approx(1)
    assert cost.tasks[0].flops == max(task.flops for task in cost.tasks)
    assert cost.probed == 6
    assert cost.seconds >= 500 * cost.trial_s > 0
    assert not (tmp_path / "data").exists()


def test_time_is_up_after_the_round_under_way(net: Path) -> None:
    result = tune(str(net), trials=10_000, time_s=1.0, settings=SETTINGS)
    assert result.why == "time"
    assert result.about.trials < 10_000


def test_a_part_of_a_name_chooses_tasks_and_an_unknown_one_names_them(net: Path) -> None:
    tasks = probe(str(net), trials=2, settings=SETTINGS).tasks
    result = tune(str(net), trials=2, tasks=[tasks[0].name], settings=SETTINGS)
    assert result.tasks < len(tasks)
    with pytest.raises(UsageError, match="no task has any of matmul in its name") as caught:
        tune(str(net), trials=4, tasks=["matmul"], settings=SETTINGS)
    assert tasks[-1].name in caught.value.hint


def test_a_device_of_another_target_is_refused_before_anything_is_measured(
    net: Path, tmp_path: Path
) -> None:
    add_device(Device(name="board", target="rpi5", transport="ssh", host="127.0.0.1"))
    with pytest.raises(UsageError, match="device 'board' is a rpi5, not a rpi4"):
        tune(str(net), "rpi4", ["board"])
    with pytest.raises(UsageError, match="device 'local' is a host, not a rpi4") as caught:
        tune(str(net), "rpi4")
    assert "--proxy host" in caught.value.hint
    assert not (tmp_path / "data").exists()


def test_a_board_that_does_not_answer_is_named(net: Path) -> None:
    device = Device(name="gone", target="rpi4", transport="ssh", host="127.0.0.1", port=9)
    add_device(device)
    with pytest.raises(DeviceError, match=r"gone|127\.0\.0\.1:9"):
        tune(str(net), "rpi4", ["gone"], settings=SETTINGS)


def test_two_sessions_do_not_write_into_one_database(net: Path, tmp_path: Path) -> None:
    with tuning(net, trials=100) as process:
        wait_for(lambda: lines_in(tmp_path / "data") or ended(process))
        with pytest.raises(UsageError, match="another process tunes into"):
            tune(str(net), trials=100, settings=SETTINGS)
