"""Which tensors of a checkpoint become which of a net's, and what is said of those that do not."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgepose.errors import WeightsError
from edgepose.graph.create import create_model
from edgepose.graph.export import run_net
from edgepose.graph.misfit import Misfit, MisfitError
from edgepose.graph.weights import fit
from edgepose.zoo import CheckpointRules, model_spec

# model -> stem of its files in the reference folder, names of its outputs there
REFERENCES = {
    "litepose-xs": ("litepose-xs-coco", ["out0", "out1"]),
    "rtmpose-t": ("rtmpose-t", ["pred_x", "pred_y"]),
    "rtmdet-nano": ("rtmdet-nano", ["cls0", "cls1", "cls2", "reg0", "reg1", "reg2"]),
}
NO_RULES = CheckpointRules()


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Conv2d(4, 2, 1)


def random_state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {
        name: torch.rand(tensor.shape) if tensor.is_floating_point() else tensor
        for name, tensor in Small().state_dict().items()
    }


def misfit(tensors: dict[str, Tensor], rules: CheckpointRules = NO_RULES) -> Misfit:
    state, found = fit(tensors, Small(), rules)
    assert found and not state
    return found


def assert_fits(tensors: dict[str, Tensor], rules: CheckpointRules = NO_RULES) -> None:
    """``tensors`` are those of `random_state` once mapped, in the net's order."""
    state, found = fit(tensors, Small(), rules)
    assert not found, found
    wanted = random_state()
    assert list(state) == list(wanted)
    assert all(torch.equal(state[name], tensor) for name, tensor in wanted.items())


def test_keys_that_are_missing_are_named() -> None:
    state = random_state()
    del state["stem.0.bias"], state["stem.1.running_var"]
    found = misfit(state)
    assert found == Misfit(missing=("stem.0.bias", "stem.1.running_var"))
    assert "2 missing (stem.0.bias, stem.1.running_var)" in str(found)


def test_keys_that_are_unexpected_are_named() -> None:
    found = misfit(random_state() | {"other.weight": torch.ones(1)})
    assert found == Misfit(unexpected=("other.weight",))
    assert "1 unexpected (other.weight)" in str(found)


def test_keys_of_another_shape_are_named_with_both_shapes() -> None:
    found = misfit(random_state() | {"stem.0.weight": torch.ones(5, 3, 3, 3)})
    assert found == Misfit(reshaped=("stem.0.weight [5, 3, 3, 3] instead of [4, 3, 3, 3]",))


def test_whole_numbers_are_no_weights() -> None:
    found = misfit(random_state() | {"head.bias": torch.ones(2, dtype=torch.int8)})
    assert found.reshaped == ("head.bias torch.int8 [2] instead of [2]",)


def test_the_text_cuts_a_long_list_and_the_misfit_keeps_all_of_it() -> None:
    found = misfit({"other": torch.ones(1)})
    assert "8 missing (stem.0.weight, stem.0.bias, stem.1.weight, …)" in str(found)
    assert len(found.missing) == 8


def test_a_tensor_that_only_pretends_to_be_huge_is_refused_before_anything_copies_it() -> None:
    pretends = torch.zeros(1).expand(10**7, 10**7)
    assert misfit(random_state() | {"head.bias": pretends}).reshaped


def test_half_precision_becomes_single_precision() -> None:
    halves = {name: tensor.half() for name, tensor in random_state().items() if tensor.ndim}
    state, found = fit(halves, Small(), NO_RULES)
    assert not found
    assert all(torch.equal(state[name], tensor.float()) for name, tensor in halves.items())
    assert state["head.weight"].dtype == torch.float32


@pytest.mark.parametrize("prefix", ["module.", "1.", "module.1.", "1.module."])
def test_the_prefixes_of_wrappers_are_removed(prefix: str) -> None:
    assert_fits({prefix + name: tensor for name, tensor in random_state().items()})


def test_a_prefix_that_only_some_keys_have_is_part_of_their_names() -> None:
    state = {f"{index}.x": torch.ones(1) for index in (1, 2)}
    assert misfit(state).unexpected == ("1.x", "2.x")


@pytest.mark.parametrize("prefix", ["", "module."])
def test_image_statistics_and_weights_before_averaging_are_ignored(prefix: str) -> None:
    state = random_state()
    strangers = {
        "data_preprocessor.mean": torch.ones(3, 1, 1),
        "ema_stem_0_weight": torch.ones(4, 3, 3, 3),
    }
    assert_fits({prefix + name: tensor for name, tensor in (state | strangers).items()})


def test_batch_counters_may_be_missing_or_surplus() -> None:
    state = random_state()
    del state["stem.1.num_batches_tracked"]
    assert_fits(state | {"other.num_batches_tracked": torch.tensor(1)})


RULES = CheckpointRules(
    ignore=("^loss", r"\.teacher\."),
    rename=((r"^backbone\.", "stem."), (r"^(?:keypoint_)?head\.final\.", "head.")),
)


@pytest.mark.parametrize("head", ["keypoint_head", "head"])
def test_the_rules_of_a_family_rename_and_drop_keys(head: str) -> None:
    published = {
        name.replace("stem.", "backbone.").replace("head.", f"{head}.final."): tensor
        for name, tensor in random_state().items()
    }
    strangers = {"loss.weight": torch.ones(1), "backbone.teacher.w": torch.ones(1)}
    assert_fits(published | strangers, RULES)
    wrapped = {f"module.{name}": tensor for name, tensor in (published | strangers).items()}
    assert_fits(wrapped, RULES)


def test_a_file_with_the_net_s_own_keys_is_not_renamed() -> None:
    assert_fits(random_state(), CheckpointRules(rename=(("^stem", "trunk"),)))


def test_of_two_keys_that_would_become_one_the_second_is_reported() -> None:
    published = random_state()
    for part in ("weight", "bias"):
        published[f"keypoint_head.final.{part}"] = published[f"head.{part}"]
        published[f"head.final.{part}"] = published.pop(f"head.{part}")
    assert misfit(published, RULES).unexpected == ("head.final.weight", "head.final.bias")


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


def test_another_model_s_checkpoint_is_refused_with_file_model_and_a_way_out(
    shared_data: Path,
) -> None:
    path = shared_data / "reference" / "rtmpose-t.pth"
    with pytest.raises(MisfitError, match=r"does not fit rtmpose-s.*of another shape") as caught:
        create_model("rtmpose-s", weights=path)
    assert str(path) in str(caught.value)
    assert caught.value.hint
    assert len(caught.value.misfit.reshaped) > 100
    assert isinstance(caught.value, WeightsError)


def test_weights_are_seeded_and_leave_the_caller_s_random_numbers_alone() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, second = (create_model("litepose-xs").state_dict() for _ in range(2))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert torch.equal(torch.get_rng_state(), before)
