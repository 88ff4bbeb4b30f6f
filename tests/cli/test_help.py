"""What the commands say about themselves, and what they do not load for it."""

import re
import subprocess
import sys

import pytest

from tests.cli.conftest import Edgepose

_PROBE = """
import contextlib, io, sys
with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
    from edgepose.cli.main import main
    main(sys.argv[1:])
assert text.getvalue()
print(*sys.modules)
"""
COMMANDS = (
    *("models", "weights", "targets", "recipes", "build", "verify", "device", "doctor"),
    *("bench", "tune", "compare", "race", "profile", "report"),
    *("run", "eval", "serve"),
)
DEVICE_ACTIONS = ("add", "list", "show", "remove", "trust", "doctor", "setup")
_HEAVY = {"torch", "numpy", "cv2", "paramiko", "onnx", "onnxruntime", "openvino", "ncnn"}


def loaded_by(*words: str) -> set[str]:
    """The modules that a command loads; it must print something."""
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, *words], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["bench", "--help"],
        ["compare", "--help"],
        ["race", "--help"],
        ["models"],
        ["models", "litepose-xs"],
        ["targets"],
        ["targets", "host"],
        ["recipes"],
        ["recipes", "ncnn-fp16"],
        ["device", "list"],
    ],
    ids=" ".join,
)
def test_help_and_lists_load_nothing_heavy(words: list[str]) -> None:
    assert not _HEAVY & loaded_by(*words)


def test_help_loads_not_even_the_json_library() -> None:
    assert "msgspec" not in loaded_by("--help")


def commands_in(help_text: str) -> dict[str, str]:
    """Command → what the list of commands says about it."""
    return dict(re.findall(r"(?m)^    (\w+) +(\S.*)$", help_text))


def test_the_help_lists_every_command_with_a_sentence(edgepose: Edgepose) -> None:
    assert set(commands_in(edgepose("--help").stdout)) == set(COMMANDS)
    assert set(commands_in(edgepose("device", "--help").stdout)) == set(DEVICE_ACTIONS)


@pytest.mark.parametrize(
    "words", [*([name] for name in COMMANDS), *(["device", each] for each in DEVICE_ACTIONS)]
)
def test_every_command_has_help(edgepose: Edgepose, words: list[str]) -> None:
    done = edgepose(*words, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.match(rf"usage: \S+ {' '.join(words)}", done.stdout)


def test_every_option_of_bench_says_what_it_is_for(edgepose: Edgepose) -> None:
    text = edgepose("bench", "--help").stdout
    options = re.findall(r"(?m)^  (--\w+)(?: \S+)?(?:  +|\n {20,})(\S+)", text)
    assert {name for name, _ in options} == set(re.findall(r"(?m)^  (--\w+)", text))
    assert {"--device", "--recipe", "--profile", "--threads", "--budget", "--json"} <= {
        name for name, _ in options
    }


def test_the_exit_codes_are_in_the_help(edgepose: Edgepose) -> None:
    done = edgepose("--help")
    assert done.returncode == 0
    assert "7 a run died or its measurement was" in " ".join(done.stdout.split())
