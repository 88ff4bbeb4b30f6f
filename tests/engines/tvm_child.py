"""``python -m tests.engines.tvm_child BEHAVIOUR FOLDER``: a child process that behaves badly."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from edgepose.engines.tvm.process import Event, serve
from edgepose.errors import UnsupportedModelError

Report = Callable[[Event], None]


def reports(folder: Path, report: Report) -> None:
    print("noise of a compiler")
    os.write(1, b"noise of its C++\n")
    for index in range(3):
        report({"index": index})


def crashes(folder: Path, report: Report) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def refuses(folder: Path, report: Report) -> None:
    raise UnsupportedModelError("no such operator", hint="Leave it out.")


def fails(folder: Path, report: Report) -> None:
    raise ValueError("an accident")


def hangs(folder: Path, report: Report) -> None:
    """With a child of its own, which writes its number and would live on."""
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    report({"worker": worker.pid})
    (folder / "workers").write_text(f"{os.getpid()} {worker.pid}")
    time.sleep(600)


def imports_torch(folder: Path, report: Report) -> None:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        report({"torch": str(error)})


if __name__ == "__main__":
    sys.exit(serve(globals()[sys.argv[1]], Path(sys.argv[2])))
