"""Runners as files: the Python one packed into one, reproducibly."""

import io
import zipfile
from pathlib import Path
from typing import NamedTuple

PYTHON_RUNNER = "runner.pyz"
_MAIN = """import sys
from edgepose_runner.main import main
sys.exit(main(sys.argv[1:]))
"""
_EPOCH = (1980, 1, 1, 0, 0, 0)  # a zip file's earliest date, so that equal sources hash equally


class RunnerProgram(NamedTuple):
    """A runner as a bundle carries it: ``runner.pyz`` for Python, else an executable."""

    name: str
    content: bytes


def python_runner() -> RunnerProgram:
    """``python3 runner.pyz FOLDER``. Equal sources, equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py", _EPOCH), _MAIN)
        for source in sorted((Path(__file__).parent / "python").glob("*.py")):
            info = zipfile.ZipInfo(f"edgepose_runner/{source.name}", _EPOCH)
            archive.writestr(info, source.read_bytes())
    return RunnerProgram(PYTHON_RUNNER, buffer.getvalue())
