"""The measuring server, asked by TVM's own client through a relay as short as can be."""

import json
import os
import platform
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.bundle import Bundle
from edgepose.prove.emulation import emulate_dynamic
from edgepose.runners.native_tvm import tvm_runtime, tvm_server
from edgepose.runners.toolchain import find_dynamic_toolchain, run_tool

pytestmark = pytest.mark.skipif(find_spec("tvm") is None, reason="tvm is not installed")
HERE = platform.machine()
CLIENT = Path(__file__).parent / "tvm_client.py"
Server = subprocess.Popen[bytes]
FUNCTIONS = r"""
#include <cstdio>
extern "C" {
int __tvm_ffi_chatter(void*, const void*, int, void*) {
    puts("a candidate talks");
    return fflush(stdout);
}
int __tvm_ffi_spin(void*, const void*, int, void*) { for (volatile int i = 0;; i = i + 1) {} }
}
"""


def prepare(folder: Path, arch: str = HERE, **changes: Any) -> list[str]:
    """Write ``server.json``; returns the command."""
    libraries = {name: str(path) for name, path in tvm_runtime(arch).items()}
    settings = {"libraries": libraries, "threads": 1, "cpus": None} | changes
    folder.mkdir(exist_ok=True)
    (folder / "server.json").write_text(json.dumps(settings))
    prefix = () if arch == HERE else emulate_dynamic("cortex-a72").command
    return [*prefix, str(tvm_server(arch)), str(folder)]


def shake_hands(connection: socket.socket) -> None:
    """What the host answers for the board before any byte reaches it."""
    magic, length = struct.unpack("<ii", connection.recv(8, socket.MSG_WAITALL))
    assert connection.recv(length, socket.MSG_WAITALL) == b"client:board"
    answer = b"server:board"
    connection.sendall(struct.pack("<ii", magic, len(answer)) + answer)


def through_pipes(connection: socket.socket, command: list[str]) -> Server:
    """The server as a channel of SSH has it: two pipes, relayed byte by byte."""
    server = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, bufsize=0)
    assert server.stdin and server.stdout
    into, out_of = server.stdin, server.stdout

    def upwards() -> None:
        with into, suppress(OSError):
            while block := connection.recv(65536):
                into.write(block)

    def downwards() -> None:
        with connection, out_of, suppress(OSError):
            while block := os.read(out_of.fileno(), 65536):
                connection.sendall(block)

    for relay in (upwards, downwards):
        threading.Thread(target=relay, daemon=True).start()
    return server


def on_a_socket(connection: socket.socket, command: list[str]) -> Server:
    with connection:
        return subprocess.Popen(command, stdin=connection, stdout=connection, stderr=-1)


class Session:
    """A client process and the server that it talks to; both end with the test."""

    def __init__(self, command: list[str], action: str, file: Path, connect: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = str(listening.getsockname()[1])
            words = [sys.executable, str(CLIENT), port, action, str(file)]
            self.client = subprocess.Popen(words, stdout=-1, stderr=-1, text=True)
            listening.settimeout(120)
            connection, _ = listening.accept()
            connection.settimeout(None)
        shake_hands(connection)
        self.server: Server = connect(connection, command)

    def close(self) -> None:
        for process in (self.client, self.server):
            process.kill()
            process.wait()
        for stream in (self.client.stdout, self.client.stderr, self.server.stderr):
            assert stream
            stream.close()


@pytest.fixture
def session() -> Iterator[Callable[..., Session]]:
    opened: list[Session] = []

    def open_one(*arguments: Any) -> Session:
        opened.append(Session(*arguments))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@pytest.mark.parametrize(
    "arch",
    [
        pytest.param("x86_64", marks=pytest.mark.skipif(HERE != "x86_64", reason="another CPU")),
        pytest.param(
            "aarch64",
            marks=[
                pytest.mark.emulation,
                pytest.mark.skipif(
                    HERE != "aarch64" and not shutil.which("qemu-aarch64-static"),
                    reason="qemu is not installed",
                ),
            ],
        ),
    ],
)
def test_a_candidate_is_uploaded_run_and_timed(
    tiny_tvm_bundle: Callable[[str], Bundle],
    session: Callable[..., Session],
    tmp_path: Path,
    arch: str,
) -> None:
    bundle = tiny_tvm_bundle("host" if arch == HERE else "rpi4")
    case = bundle.golden()[0]
    shutil.copy(bundle.folder / "model.so", tmp_path / "model.so")
    np.save(tmp_path / "input.npy", case.inputs["input"])
    command = prepare(tmp_path / "board", arch)
    opened = session(command, "measure", tmp_path / "model.so", through_pipes)
    said, errors = opened.client.communicate(timeout=300)
    assert opened.client.returncode == 0, errors
    health, timing, echo, *refusals = map(json.loads, said.splitlines())
    assert set(health["health"]) == {"temperatures_c", "clocks_mhz", "throttled"}
    assert np.load(tmp_path / "output.npy") == pytest.approx(case.outputs["heatmaps"], abs=1e-4)
    assert len(timing["seconds"]) == 4
    assert all(0 < seconds < 10 for seconds in timing["seconds"])
    assert echo["whole"] is True
    assert [bool(line["refused"]) for line in refusals] == [True] * 4
    assert "is no name of a file here" in refusals[0]["refused"]
    assert opened.server.wait(30) == 0
    assert [path.name for path in (tmp_path / "board").iterdir()] == ["server.json"]


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("functions")
    (folder / "functions.cpp").write_text(FUNCTIONS)
    words = [*find_dynamic_toolchain(HERE).compiler, "-shared", "-fPIC", "-O1"]
    library = folder / "functions.so"
    run_tool([*words, str(folder / "functions.cpp"), "-o", str(library)], "compiling it", 120)
    return library


@pytest.mark.parametrize("connect", [through_pipes, on_a_socket])
def test_it_ends_when_the_tuner_dies_though_a_candidate_never_does(
    session: Callable[..., Session], functions: Path, tmp_path: Path, connect: Any
) -> None:
    """A candidate that talks does not spoil the stream either: the next one is still called."""
    opened = session(prepare(tmp_path / "board"), "call", functions, connect)
    assert opened.client.stdout and opened.server.stderr
    assert [json.loads(opened.client.stdout.readline())["calling"] for _ in range(2)] == [
        "chatter",
        "spin",
    ]
    time.sleep(0.5)
    assert opened.server.poll() is None
    opened.client.kill()
    assert opened.server.wait(20) == 15
    assert b"a candidate talks" in opened.server.stderr.read()
    assert [path.name for path in (tmp_path / "board").iterdir()] == ["server.json"]


def test_a_stream_that_ends_at_once_is_no_error(tmp_path: Path) -> None:
    command = prepare(tmp_path / "board")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"threads": 0}, 10, "server.json: JSON: a whole number from 1"),
        ({"libraries": {}}, 10, "libtvm_ffi.so"),
        (
            {"libraries": dict.fromkeys(("libtvm_ffi.so", "libtvm_runtime.so"), "/no/file")},
            12,
            "/no/file",
        ),
    ],
    ids=["threads", "libraries", "files"],
)
def test_settings_that_are_wrong_are_told(
    tmp_path: Path, changes: dict[str, Any], code: int, message: str
) -> None:
    command = prepare(tmp_path / "board", **changes)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert done.returncode == code
    assert message in done.stderr.decode()


def test_a_folder_without_settings_ends_with_10(tmp_path: Path) -> None:
    words = [str(tvm_server(HERE)), str(tmp_path)]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert done.returncode == 10
    assert b"server.json cannot be read" in done.stderr
