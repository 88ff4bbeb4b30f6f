"""A bundle evaluated where it runs: on this machine, and through a real sshd."""

import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgepose.bundle import Bundle, load_bundle, seal
from edgepose.devices.inventory import add_device
from edgepose.errors import LeaseError, ProofError, RunError, UnreachableError, UsageError
from edgepose.evaluate import on_device
from edgepose.evaluate.on_device import DeviceSession, session_on_device
from edgepose.places import user_cache
from tests.devices.ssh_server import SshServer
from tests.emulation.faulty_proxy import FaultyProxy
from tests.own_cache import own_cache
from tests.tiny_bundles import build_tiny, with_false_golden_outputs

Inputs = dict[str, NDArray[np.float32]]


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEPOSE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("EDGEPOSE_CACHE", own_cache(tmp_path / "cache"))
    return tmp_path


@pytest.fixture(scope="session")
def tiny(own_places: None, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return build_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_ncnn(own_places: None, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return build_tiny(tmp_path_factory.mktemp("tiny"), recipe="ncnn-fp32")


def inputs(count: int) -> list[Inputs]:
    source = np.random.default_rng(5)
    return [{"input": source.standard_normal((1, 3, 64, 48), np.float32)} for _ in range(count)]


def runs() -> list[Path]:
    return list((user_cache() / "device" / "runs").iterdir())


def assert_equal_to_the_host(session: DeviceSession, bundle: Bundle, count: int) -> None:
    here, asked = bundle.session(), inputs(count)
    found = session.run_many(asked)
    assert len(found) == count
    for one, each in zip(found, asked, strict=True):
        (output,), (wanted,) = one.values(), here.run(each).values()
        assert output.dtype == np.float32
        assert output.shape == (1, 3, 16, 12)
        np.testing.assert_allclose(output, wanted, rtol=1e-5, atol=1e-5)


def test_many_inputs_cross_in_batches_and_come_back_in_order(
    tiny: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_device, "_MOST_INPUTS", 3)
    with session_on_device(tiny) as session:
        assert session.at_once == 3
        assert_equal_to_the_host(session, tiny, 7)
        assert session.proof.passed
        assert session.device == "local"
        assert "onnxruntime" in session.versions
    assert not runs()


def test_a_native_runner_gives_what_the_host_gives(tiny_ncnn: Bundle) -> None:
    assert tiny_ncnn.manifest.runner == "runner"
    with session_on_device(tiny_ncnn) as session:
        assert_equal_to_the_host(session, tiny_ncnn, 3)


def test_the_precision_is_what_the_runtime_there_says(
    tiny: Bundle, tiny_bundle: Callable[[str], Bundle]
) -> None:
    with session_on_device(tiny_bundle("openvino-fp32")) as session:
        assert session.computed_in == "fp32"
    with session_on_device(tiny) as session:
        assert session.computed_in is None


def test_one_input_is_a_batch_too(tiny: Bundle) -> None:
    (one,) = inputs(1)
    with session_on_device(tiny) as session:
        found = session.run(one)
        assert session.run_many([]) == []
    np.testing.assert_allclose(found["heatmaps"], tiny.session().run(one)["heatmaps"], rtol=1e-5)


def test_through_a_real_sshd_the_outputs_are_those_of_the_host(
    tiny: Bundle, ssh_server: SshServer, workplace: Path
) -> None:
    add_device(ssh_server.device(workdir=str(workplace / "there"), python=sys.executable))
    device = "loopback"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(workplace))
        with session_on_device(tiny, device) as session:
            assert_equal_to_the_host(session, tiny, 5)
    assert not list((workplace / "there" / "runs").iterdir())


def test_a_link_that_breaks_in_a_batch_costs_that_batch_only(
    tiny: Bundle, ssh_server: SshServer, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_device, "_MOST_INPUTS", 4)
    monkeypatch.setenv("HOME", str(workplace))
    there = workplace / "there"
    with FaultyProxy("127.0.0.1", ssh_server.port) as proxy:
        add_device(ssh_server.device(port=proxy.port, workdir=str(there), python=sys.executable))
        with (
            pytest.raises(UnreachableError) as caught,
            session_on_device(tiny, "loopback") as session,
        ):
            assert_equal_to_the_host(session, tiny, 4)
            proxy.reset_after(60_000)  # in the middle of the next batch's inputs
            session.run_many(inputs(4))
        assert "the same command goes on" in caught.value.hint
        with session_on_device(tiny, "loopback") as session:
            assert_equal_to_the_host(session, tiny, 4)
    assert not list((there / "runs").iterdir())


def test_a_batch_takes_neither_much_memory_nor_long(tiny: Bundle) -> None:
    one_mib = 4 * 3 * 64 * 48 / 2**20
    size = on_device._batch_size
    assert size(tiny, 1.0) == 64
    assert size(tiny, 10_000.0) == 6
    assert size(tiny, 1e9) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_device, "_BATCH_MIB", 1)
        assert size(tiny, 1.0) == int(1 / one_mib)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"another": np.zeros((1, 3, 64, 48))}, {"input": np.zeros((1, 3, 8, 8))}],
    ids=["none", "name", "shape"],
)
def test_inputs_that_are_not_the_model_s_never_leave_this_host(
    tiny: Bundle, wrong: dict[str, Any]
) -> None:
    with session_on_device(tiny) as session:
        with pytest.raises(RunError, match="the model's inputs are"):
            session.run_many([*inputs(1), wrong])
        assert not runs()


def test_a_bundle_that_is_not_proven_there_is_refused(tiny: Bundle, workplace: Path) -> None:
    false = with_false_golden_outputs(tiny, workplace / "false")
    with (
        pytest.raises(ProofError, match="is not proven on local: output 'heatmaps'"),
        session_on_device(false),
    ):
        pytest.fail("it was taken for proven")
    assert not runs()


def test_a_bundle_of_an_older_edgepose_is_told_how_to_be_renewed(
    tiny: Bundle, workplace: Path
) -> None:
    old = workplace / "old"
    shutil.copytree(tiny.folder, old)
    with zipfile.ZipFile(tiny.folder / "runner.pyz") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    plan = "edgepose_runner/plan.py"
    files[plan] = files[plan].replace(b'"profile", "infer")', b'"profile")')
    with zipfile.ZipFile(old / "runner.pyz", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    seal(old, tiny.manifest)
    with (
        session_on_device(load_bundle(old)) as session,
        pytest.raises(RunError, match="unknown mode 'infer'") as caught,
    ):
        session.run_many(inputs(1))
    assert "--force" in caught.value.hint


def test_a_run_that_outlived_its_session_is_ended_by_the_next_one(tiny: Bundle) -> None:
    folder = user_cache() / "device" / "runs" / f"eval-{tiny.manifest.bundle_id}"
    folder.mkdir(parents=True)
    (folder / "log").write_text("")
    (folder / "result.jsonl").write_text("half a li")
    with session_on_device(tiny) as session:
        assert not folder.exists()
        assert_equal_to_the_host(session, tiny, 1)


def test_outputs_that_change_on_their_way_are_refused(
    tiny: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with session_on_device(tiny) as session:
        fetch = session._place.transport.get

        def damaged(source: str, destination: Path, deadline: Any) -> None:
            fetch(source, destination, deadline)
            if source.endswith(".npy"):
                destination.write_bytes(destination.read_bytes()[:-1] + b"\x55")

        monkeypatch.setattr(session._place.transport, "get", damaged)
        with pytest.raises(RunError, match="arrived with another hash"):
            session.run_many(inputs(2))


def test_nobody_else_may_use_the_device_meanwhile(tiny: Bundle) -> None:
    with (
        session_on_device(tiny),
        pytest.raises(LeaseError),
        session_on_device(tiny),
    ):
        pytest.fail("it was lent twice")


def test_a_bundle_for_other_hardware_is_refused(tmp_path: Path) -> None:
    other = build_tiny(tmp_path / "other", target="rpi4")
    with pytest.raises(UsageError, match="not built for device 'local'"), session_on_device(other):
        pytest.fail("it was taken")
