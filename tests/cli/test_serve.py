"""``edgepose serve``: what it refuses before it serves."""

import socket
from pathlib import Path

import pytest

from edgepose.bundle import Bundle
from tests.cli.conftest import Edgepose


def test_a_taken_port_is_an_error_that_names_it(edgepose: Edgepose, tiny: Bundle) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = edgepose("serve", "--model", tiny.folder, "--port", port)
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1, port {port}" in done.stderr
    assert "--port" in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


def test_an_address_of_another_machine_is_an_error(edgepose: Edgepose, tiny: Bundle) -> None:
    done = edgepose("serve", "--model", tiny.folder, "--host", "203.0.113.9", "--port", "0")
    assert done.returncode == 2
    assert "warning: whoever can reach 203.0.113.9" in done.stderr
    assert "error: cannot listen on 203.0.113.9" in done.stderr


@pytest.mark.parametrize("port", ["-1", "65536", "http", "80.5"])
def test_a_port_is_a_number_up_to_65535(edgepose: Edgepose, port: str) -> None:
    done = edgepose("serve", "--model", "rtmpose-t", f"--port={port}")
    assert done.returncode == 2 and "is not a port" in done.stderr


def test_a_missing_model_is_an_error(edgepose: Edgepose, tmp_path: Path) -> None:
    done = edgepose("serve", "--model", tmp_path / "absent.onnx")
    assert done.returncode == 2 and "there is no file" in done.stderr
