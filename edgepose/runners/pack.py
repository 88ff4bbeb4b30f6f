"""Runners as files: the Python one packed into one, reproducibly."""

import io
import zipfile
from collections.abc import Mapping
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
    sources = (Path(__file__).parent / "python").glob("*.py")
    files = {f"edgepose_runner/{source.name}": source for source in sources}
    return RunnerProgram(PYTHON_RUNNER, program_of(_MAIN, files))


def program_of(main: str, files: Mapping[str, Path]) -> bytes:
    """A zip that Python executes: ``main`` is its program, beside ``files`` (name there → path)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py", _EPOCH), main)
        for name, source in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), source.read_bytes())
    return buffer.getvalue()
