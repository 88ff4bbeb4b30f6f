"""Checkpoints are read for their tensors, and nothing in them is executed."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from edgepose.errors import WeightsError
from edgepose.graph.checkpoint import read_tensors

STATE = {"conv.weight": torch.arange(4.0), "conv.bias": torch.ones(1)}

# Saves what MMEngine saves, by classes that exist in this process only.
LIKE_MMENGINE = """
import sys
from collections import OrderedDict, defaultdict, deque
from types import ModuleType

import numpy as np
import torch


def fake(module, name, base=object):
    made = type(name, (base,), {"__module__": module, "min": lambda self: 0})
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:count]), ModuleType(parts[count - 1]))
    setattr(sys.modules[module], name, made)
    return made


HistoryBuffer = fake("mmengine.logging.history_buffer", "HistoryBuffer")
HistoryBuffer.min.__qualname__ = "HistoryBuffer.min"
HistoryBuffer.min.__module__ = HistoryBuffer.__module__
MessageHub = fake("mmengine.logging.message_hub", "MessageHub")
ConfigDict = fake("mmengine.config.config", "ConfigDict", dict)

log = HistoryBuffer()
log._log_history = np.array([0.5, 0.25])
log.statistics_methods = {"min": HistoryBuffer.min}  # pickled as getattr(HistoryBuffer, "min")
hub = MessageHub()
hub.scalars = OrderedDict(loss=log)
weights = {"conv.weight": torch.arange(4.0), "conv.bias": torch.ones(1)}
torch.save(
    {
        "meta": {
            "epoch": 3,
            "cfg": "model = dict()",
            "dataset_meta": {"sigmas": np.ones(17, np.float32), "names": {"nose"}},
            "seed": np.float64(1.5),
            "hook_msgs": ConfigDict(best="x.pth"),
            "scores": defaultdict(list, AP=[np.float32(0.5)]),
            "window": deque([np.int64(1)], maxlen=5),
        },
        "message_hub": {"log_scalars": OrderedDict(loss=log), "hub": hub},
        "optimizer": {"state": {0: {"step": np.int64(7), "exp_avg": torch.ones(4)}}},
        "param_schedulers": [{"base_values": [np.float64(0.004)]}],
        "state_dict": OrderedDict(weights),
        "ema_state_dict": {f"module.{name}": 0 * tensor for name, tensor in weights.items()},
    },
    sys.argv[1],
    _use_new_zipfile_serialization=sys.argv[2] == "zip",
)
"""


def refusal(path: Path) -> WeightsError:
    with pytest.raises(WeightsError) as caught:
        read_tensors(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint
    return caught.value


def assert_state(path: Path) -> None:
    tensors = read_tensors(path)
    assert list(tensors) == list(STATE)
    assert all(torch.equal(tensors[name], tensor) for name, tensor in STATE.items())


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_a_checkpoint_with_mmengine_s_logs_and_numpy_numbers_gives_its_averaged_weights(
    tmp_path: Path, form: str
) -> None:
    path = tmp_path / "w.pth"
    subprocess.run([sys.executable, "-c", LIKE_MMENGINE, path, form], check=True)
    assert_state(path)
    assert "mmengine" not in sys.modules
    # It takes the stand-ins: PyTorch itself refuses the file.
    with pytest.raises(Exception, match="Unsupported global"):
        torch.load(path, weights_only=True)


def test_the_stand_ins_are_allowed_only_while_a_file_is_read(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "w.pth")
    before = torch.serialization.get_safe_globals()
    assert_state(tmp_path / "w.pth")
    (tmp_path / "broken.pth").write_bytes(b"broken")
    refusal(tmp_path / "broken.pth")
    assert torch.serialization.get_safe_globals() == before


class Reduced:
    """Pickled as the call ``function(*arguments)``."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call

    def __call__(self) -> None:
        raise AssertionError("only there so that pickle takes it as a function")


PAYLOADS: dict[str, Callable[[str], Any]] = {
    "os.system": lambda victim: Reduced(os.system, f"touch {victim}"),
    "eval": lambda victim: Reduced(eval, f"open({victim!r}, 'w').close()"),
    "exec": lambda victim: Reduced(exec, f"open({victim!r}, 'w').close()"),
    "a class that is not listed": lambda victim: Reduced(subprocess.check_call, ["touch", victim]),
    "numpy": lambda victim: Reduced(np.savetxt, victim, [1.0]),
    "a method of numpy's array through getattr": lambda victim: Reduced(
        Reduced(getattr, np.ndarray, "tofile"), np.ones(3), victim
    ),
    "a method of torch's tensor through getattr": lambda victim: Reduced(
        Reduced(getattr, torch.Tensor, "apply_"), torch.ones(1), Reduced(open, victim, "w")
    ),
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("place", ["state_dict", "meta", "top"])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_hostile_pickle_is_refused_and_not_executed(
    tmp_path: Path, payload: str, place: str, zipped: bool
) -> None:
    victim, path = tmp_path / "victim", tmp_path / "w.pth"
    evil = {"evil": PAYLOADS[payload](str(victim))}
    content = {"state_dict": STATE | evil if place == "state_dict" else STATE}
    content |= {"meta": {"deep": [evil]}} if place == "meta" else {}
    content |= evil if place == "top" else {}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    error = refusal(path)
    assert "safely" in str(error)
    assert "safetensors" in error.hint
    assert not victim.exists()


def test_the_payloads_are_threats_indeed(tmp_path: Path) -> None:
    victims = [tmp_path / f"victim{index}" for index in range(len(PAYLOADS))]
    for victim, payload in zip(victims, PAYLOADS.values(), strict=True):
        torch.save(payload(str(victim)), victim.with_suffix(".pth"))
    script = """
import contextlib, sys, torch
for path in sys.argv[1:]:
    with contextlib.suppress(Exception):
        torch.load(path, weights_only=False)
"""
    paths = [victim.with_suffix(".pth") for victim in victims]
    subprocess.run([sys.executable, "-c", script, *paths], check=True)
    assert all(victim.exists() for victim in victims)


def test_a_file_that_unpacks_to_more_than_it_has_is_refused(tmp_path: Path) -> None:
    plain, bomb = tmp_path / "plain.pth", tmp_path / "bomb.pth"
    torch.save({"w": torch.zeros(2**22)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(bomb, "w") as target:
        for member in source.infolist():
            target.writestr(member.filename, source.read(member), zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 100_000
    assert torch.load(bomb, weights_only=True)["w"].numel() == 2**22  # PyTorch inflates it
    assert "would unpack to" in str(refusal(bomb))


def test_a_tensor_larger_than_its_bytes_is_refused(tmp_path: Path) -> None:
    honest, lying = tmp_path / "honest.pth", tmp_path / "lying.pth"
    torch.save({"w": torch.zeros(4)}, honest)
    with zipfile.ZipFile(honest) as source, zipfile.ZipFile(lying, "w") as target:
        for member in source.infolist():
            data = source.read(member)
            if member.filename.endswith("data.pkl"):
                assert b"K\x04tq" in data
                data = data.replace(b"K\x04tq", b"J\xff\xff\xff\x7ftq", 1)
            target.writestr(member, data)
    refusal(lying)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04", b"\x80\x02"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert "cannot be read safely" in str(refusal(tmp_path / name))


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_file_that_ends_early_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    save_file(STATE, path) if path.suffix == ".safetensors" else torch.save(STATE, path)
    path.write_bytes(path.read_bytes()[:-10])
    refusal(path)


def test_a_file_that_does_not_exist_is_named(tmp_path: Path) -> None:
    assert "does not exist" in str(refusal(tmp_path / "absent.pth"))


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"epoch": 3},
        {"state_dict": {}},
        {"state_dict": [torch.ones(1)]},
        {"state_dict": torch.ones(1)},
        {7: torch.ones(1)},
        {"w": torch.eye(2).to_sparse()},
        {"w": torch.ones(1, device="meta")},
        [torch.ones(1)],
        torch.ones(1),
    ],
    ids=str,
)
def test_a_checkpoint_without_named_tensors_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "w.pth")
    refusal(tmp_path / "w.pth")


def test_a_nested_state_dict_is_unwrapped(tmp_path: Path) -> None:
    optimizer: dict[str, Any] = {"state": {0: torch.ones(2)}}
    torch.save({"state_dict": STATE, "meta": {"epoch": 3}, "optimizer": optimizer}, tmp_path / "w")
    assert_state(tmp_path / "w")


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.safetensors")
    tensors: dict[str, Tensor] = read_tensors(tmp_path / "w.safetensors")
    assert tensors.keys() == STATE.keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in STATE.items())
