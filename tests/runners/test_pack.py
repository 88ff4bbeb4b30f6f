"""The runner is one reproducible file that a board's old Python can run."""

import ast
import io
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import edgepose.runners.python as package
from edgepose.runners.pack import python_runner

FOLDER = Path(package.__file__).parent
SOURCES = sorted(FOLDER.glob("*.py"))


def test_equal_sources_give_equal_bytes() -> None:
    code = (
        "import sys\n"
        "from edgepose.runners.pack import python_runner\n"
        "sys.stdout.buffer.write(python_runner().content)"
    )
    root = FOLDER.parent.parent.parent
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=root, timeout=60)
    assert python_runner().content == python_runner().content == other.stdout


def test_the_runner_holds_every_source_and_nothing_else() -> None:
    with zipfile.ZipFile(io.BytesIO(python_runner().content)) as archive:
        assert sorted(archive.namelist()) == sorted(
            ["__main__.py", *(f"edgepose_runner/{path.name}" for path in SOURCES)]
        )
        for path in SOURCES:
            assert archive.read(f"edgepose_runner/{path.name}") == path.read_bytes()


def test_the_runner_imports_nothing_of_edgepose() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                modules.append(node.module or "")
            assert not [name for name in modules if name.split(".")[0] == "edgepose"], path.name


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_runner_source_has_the_syntax_of_python_3_6(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 6))


def old_enough(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Judge with vermin whether the sources ask for no more than Python 3.6."""
    code = "import sys; from vermin.main import main; sys.exit(main())"
    # Where perf_counter_ns is missing, clock.py makes its own.
    options = ["--target=3.6-", "--violations", "--no-config-file", "--eval-annotations"]
    options += ["--exclude", "time.perf_counter_ns"]
    command = [sys.executable, "-c", code, *options, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(find_spec("vermin") is None, reason="vermin is not installed")
def test_the_runner_calls_nothing_newer_than_python_3_6(tmp_path: Path) -> None:
    newer = tmp_path / "newer.py"
    newer.write_text("import time\nprint(time.monotonic_ns())\n")
    assert old_enough(newer).returncode == 1, "vermin sees nothing at all"
    done = old_enough(FOLDER)
    assert done.returncode == 0, done.stdout
