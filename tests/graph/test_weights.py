import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from edgepose.errors import WeightsError
from edgepose.graph.create import create_model
from edgepose.graph.export import run_net
from edgepose.graph.weights import load_weights, read_state_dict
from edgepose.zoo import model_spec

# model -> stem of its files in the reference folder, names of its outputs there
REFERENCES = {
    "litepose-xs": ("litepose-xs-coco", ["out0", "out1"]),
    "rtmpose-t": ("rtmpose-t", ["pred_x", "pred_y"]),
    "rtmdet-nano": ("rtmdet-nano", ["cls0", "cls1", "cls2", "reg0", "reg1", "reg2"]),
}
METADATA = {"meta": {"epoch": 3}, "optimizer": {"state": {0: torch.ones(2)}}}


def small_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def random_state() -> dict[str, Tensor]:
    return {
        name: torch.rand(tensor.shape) if tensor.is_floating_point() else tensor
        for name, tensor in small_net().state_dict().items()
    }


def refusal(path: Path) -> WeightsError:
    with pytest.raises(WeightsError) as caught:
        load_weights(small_net(), path, "small")
    assert str(path) in str(caught.value)
    return caught.value


def assert_loads(path: Path, state: dict[str, Tensor]) -> None:
    net = small_net()
    load_weights(net, path, "small")
    for name, tensor in net.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(tensor, state[name]), name


def test_keys_that_are_missing_are_named(tmp_path: Path) -> None:
    state = random_state()
    del state["0.bias"], state["1.running_var"]
    torch.save(state, tmp_path / "w.pth")
    error = refusal(tmp_path / "w.pth")
    assert "2 missing (0.bias, 1.running_var)" in str(error)
    assert "small" in str(error)
    assert error.hint


def test_keys_that_are_unexpected_are_named(tmp_path: Path) -> None:
    torch.save(random_state() | {"head.weight": torch.ones(1)}, tmp_path / "w.pth")
    assert "1 unexpected (head.weight)" in str(refusal(tmp_path / "w.pth"))


def test_keys_of_another_shape_are_named_with_both_shapes(tmp_path: Path) -> None:
    torch.save(random_state() | {"0.weight": torch.ones(5, 3, 3, 3)}, tmp_path / "w.pth")
    sentence = str(refusal(tmp_path / "w.pth"))
    assert "1 of another shape (0.weight [5, 3, 3, 3] instead of [4, 3, 3, 3])" in sentence


def test_a_long_list_of_keys_is_cut(tmp_path: Path) -> None:
    torch.save({"other": torch.ones(1)}, tmp_path / "w.pth")
    assert "6 missing (0.weight, 0.bias, 1.weight, …)" in str(refusal(tmp_path / "w.pth"))


def test_a_file_that_does_not_fit_leaves_the_net_as_it_was(tmp_path: Path) -> None:
    state = random_state()
    del state["0.bias"]
    torch.save(state, tmp_path / "w.pth")
    net, untouched = small_net(), small_net()
    with pytest.raises(WeightsError):
        load_weights(net, tmp_path / "w.pth", "small")
    assert torch.equal(net.state_dict()["0.weight"], untouched.state_dict()["0.weight"])


class _Hostile:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.victim}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_pickle_is_refused_and_not_executed(tmp_path: Path, zipped: bool) -> None:
    victim, path = tmp_path / "victim", tmp_path / "w.pth"
    content = random_state() | {"evil": _Hostile(victim)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    error = refusal(path)
    assert "safely" in str(error)
    assert "safetensors" in error.hint
    assert not victim.exists()
    torch.load(path, weights_only=False)  # the file is a threat indeed
    assert victim.exists()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not a checkpoint")
    assert "cannot be read safely" in str(refusal(tmp_path / name))


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
        [torch.ones(1)],
        torch.ones(1),
    ],
    ids=str,
)
def test_a_checkpoint_without_named_tensors_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "w.pth")
    refusal(tmp_path / "w.pth")


def test_safetensors_make_the_round_trip(tmp_path: Path) -> None:
    state = random_state()
    save_file(state, tmp_path / "w.safetensors")
    assert_loads(tmp_path / "w.safetensors", state)


def test_half_precision_weights_become_single_precision(tmp_path: Path) -> None:
    halves = {name: tensor.half() for name, tensor in random_state().items()}
    torch.save(halves, tmp_path / "w.pth")
    assert_loads(tmp_path / "w.pth", {name: tensor.float() for name, tensor in halves.items()})


@pytest.mark.parametrize("prefix", ["module.", "1.", "module.1."])
def test_the_prefixes_of_wrappers_are_removed(tmp_path: Path, prefix: str) -> None:
    state = random_state()
    torch.save({prefix + name: tensor for name, tensor in state.items()}, tmp_path / "w.pth")
    assert_loads(tmp_path / "w.pth", state)


def test_a_prefix_that_only_some_keys_have_is_part_of_their_names(tmp_path: Path) -> None:
    torch.save(random_state(), tmp_path / "w.pth")  # half its keys begin with "1."
    assert "1.running_mean" in read_state_dict(tmp_path / "w.pth")


def test_a_nested_state_dict_is_unwrapped_and_image_statistics_are_ignored(tmp_path: Path) -> None:
    state = random_state()
    nested = state | {"data_preprocessor.mean": torch.ones(3, 1, 1)}
    torch.save({"state_dict": nested, **METADATA}, tmp_path / "w.pth")
    assert_loads(tmp_path / "w.pth", state)


def test_batch_counters_may_be_missing_or_surplus(tmp_path: Path) -> None:
    state = random_state()
    del state["1.num_batches_tracked"]
    state["9.num_batches_tracked"] = torch.tensor(1)
    torch.save(state, tmp_path / "w.pth")
    assert_loads(tmp_path / "w.pth", state)


@pytest.mark.parametrize("name", REFERENCES)
def test_a_checkpoint_of_the_original_project_gives_its_outputs(
    shared_data: Path, name: str
) -> None:
    stem, names = REFERENCES[name]
    folder = shared_data / "reference"
    net = create_model(name, weights=folder / f"{stem}.pth")
    with np.load(folder / f"{stem}.npz", allow_pickle=False) as data:
        (outputs,) = run_net(net, model_spec(name), [data["input"]])
        for key, output in zip(names, outputs.values(), strict=True):
            np.testing.assert_allclose(output, data[key], rtol=1e-4, atol=1e-4, err_msg=key)


def test_another_model_s_checkpoint_is_refused(shared_data: Path) -> None:
    path = shared_data / "reference" / "rtmpose-t.pth"
    with pytest.raises(WeightsError, match=r"does not fit rtmpose-s.*of another shape"):
        create_model("rtmpose-s", weights=path)
