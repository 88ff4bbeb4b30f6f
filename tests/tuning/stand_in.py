"""A program in the place of the measuring server: it gives back each byte."""

import socket
import subprocess
from pathlib import Path

from edgepose.tuning.fleet import ServerFiles
from tests.tuning.tracker import receive

# Under the name of the program that it stands in for, by which it is found.
ECHO = 'exec -a "$0 $1" cat'

# Does not even read the end of its input, as a candidate that never ends.
DEAF = 'mkfifo "$1/never" 2>/dev/null; read -r <>"$1/never"'


def write_program(path: Path, script: str = ECHO) -> Path:
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)
    return path


def stand_in(folder: Path, script: str = ECHO) -> ServerFiles:
    """``script`` as the server, with one library."""
    library = folder / "library"
    library.write_text("a library")
    return ServerFiles(write_program(folder / "server", script), {"libtest.so": library})


def programs(folder: Path | str) -> list[int]:
    """The processes of this machine whose command line ends with ``folder`` (a pattern)."""
    found = subprocess.run(["pgrep", "-f", "--", f"{folder}$"], capture_output=True, check=False)
    return [int(word) for word in found.stdout.split()]


def echo(session: socket.socket, data: bytes = b"hello") -> None:
    """See that ``session`` is with a stand-in."""
    session.sendall(data)
    assert receive(session, len(data)) == data
