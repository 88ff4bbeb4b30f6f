"""``edgepose doctor`` as users start it."""

import json
import subprocess
import sys
import time

from tests.cli.conftest import Edgepose

_PROBE = """
import contextlib, io, sys
from edgepose.cli.main import main
with contextlib.redirect_stdout(io.StringIO()):
    code = main(["doctor"])
print(*sys.modules)
sys.exit(code)
"""
HEAVY = {"torch", "onnx", "onnxruntime", "openvino", "ncnn", "pnnx", "tvm", "cv2", "paramiko"}
MOST_S = 1.0


def test_a_host_that_can_do_the_default_job_is_fit(edgepose: Edgepose) -> None:
    done = edgepose("doctor", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    for name in ("export of zoo models", "engine onnxruntime", "engine ncnn"):
        assert checks[name]["verdict"] == "PASS", checks[name]
    assert all(check["fix"] for check in checks.values() if check["verdict"] == "WARNING")


def test_the_table_shows_verdict_and_fix(edgepose: Edgepose) -> None:
    table = edgepose("doctor").stdout
    assert table.splitlines()[0].split("  ")[0] == "verdict"
    assert "engine onnxruntime" in table


def test_a_host_without_torch_is_told_so_and_the_exit_code_tells_it_too() -> None:
    """Run by a Python whose package metadata lacks torch."""
    code = (
        "import importlib.metadata as m, sys\n"
        "real = m.version\n"
        "def version(name):\n"
        "    if name == 'torch': raise m.PackageNotFoundError(name)\n"
        "    return real(name)\n"
        "m.version = version\n"
        "from edgepose.cli.main import main\n"
        "sys.exit(main(['doctor']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 3, done.stderr
    [line] = [line for line in done.stdout.splitlines() if "export of zoo models" in line]
    assert line.startswith("CRITICAL")
    assert "missing: torch" in line
    assert "edgepose[torch]" in line


def test_it_loads_nothing_heavy_and_is_quick() -> None:
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _PROBE], capture_output=True, text=True, check=True, timeout=60
    )
    assert not HEAVY & set(done.stdout.split())
    assert time.monotonic() - begin < 5 * MOST_S  # beside other tests
