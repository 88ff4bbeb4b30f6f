"""Lightweight OpenPose is the original project's: keys, outputs, cost of each part."""

from pathlib import Path

import pytest
import torch
from torch import nn

from edgepose import create_model
from edgepose.graph.inspect import count_macs, count_parameters
from edgepose.zoo import model_spec
from models_src.baselines.openpose.net import lightweight_openpose


def test_parameters_are_those_that_the_paper_prints() -> None:
    with torch.device("meta"):
        net = lightweight_openpose()
    assert round(count_parameters(net) / 1e6, 1) == 4.1


def test_every_part_costs_what_the_paper_s_table_5_says() -> None:
    with torch.device("meta"):
        net = lightweight_openpose()
        inputs = {
            "model": torch.empty(1, 3, 368, 368),
            "cpm": torch.empty(1, 512, 46, 46),
            "initial_stage": torch.empty(1, 128, 46, 46),
            "refinement_stages.0": torch.empty(1, 128 + 19 + 38, 46, 46),
        }
    # The paper prints the feature reduction as two rows of 0.3, after layers that it replaces.
    printed = {"model": 3.7, "cpm": 0.6, "initial_stage": 1.3, "refinement_stages.0": 3.4}
    counted = {
        name: round(count_macs(net.get_submodule(name), (tensor,)) / 1e9, 1)
        for name, tensor in inputs.items()
    }
    assert counted == printed
    assert sum(printed.values()) == pytest.approx(9.0)


@pytest.mark.parametrize(("stages", "keys"), [(1, 250), (3, 426)])
def test_keys_are_the_original_project_s(stages: int, keys: int) -> None:
    with torch.device("meta"):
        state = lightweight_openpose(refinement_stages=stages).state_dict()
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    assert len(shapes) == keys
    assert next(iter(shapes)) == "model.0.0.weight"
    assert {
        "model.1.3.weight": (64, 32, 1, 1),
        "model.7.0.weight": (512, 1, 3, 3),
        "cpm.align.0.bias": (128,),
        "cpm.trunk.2.2.weight": (128, 128, 1, 1),
        "initial_stage.trunk.2.0.weight": (128, 128, 3, 3),
        "initial_stage.heatmaps.0.0.weight": (512, 128, 1, 1),
        "initial_stage.pafs.1.0.bias": (38,),
        "refinement_stages.0.trunk.0.initial.0.weight": (128, 185, 1, 1),
        "refinement_stages.0.trunk.4.trunk.1.0.bias": (128,),
        "refinement_stages.0.heatmaps.1.0.weight": (19, 128, 1, 1),
    }.items() <= shapes.items()


def test_outputs_are_heatmaps_and_fields_of_every_stage_in_turn() -> None:
    net = lightweight_openpose(64, 96, refinement_stages=2).eval()
    with torch.inference_mode():
        outputs = net(torch.zeros(2, 3, 64, 96))
    heatmaps, fields = (2, 19, 8, 12), (2, 38, 8, 12)
    assert [tuple(output.shape) for output in outputs] == 3 * [heatmaps, fields]


def test_one_depthwise_convolution_is_dilated_in_place_of_a_stride() -> None:
    with torch.device("meta"):
        layers = [layer for layer in lightweight_openpose().model.modules()]
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert [layer.stride[0] for layer in convolutions].count(2) == 3
    (dilated,) = (layer for layer in convolutions if layer.dilation == (2, 2))
    assert dilated.padding == (2, 2)
    assert dilated.groups == 512


def test_only_the_feature_reduction_is_without_norms_and_with_elu() -> None:
    with torch.device("meta"):
        net = lightweight_openpose()
    elus = [name for name, layer in net.named_modules() if isinstance(layer, nn.ELU)]
    assert len(elus) == 6
    assert all(name.startswith("cpm.trunk.") for name in elus)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in net.cpm.modules())


def test_weights_that_were_trained_with_three_refinement_stages_give_one(tmp_path: Path) -> None:
    torch.manual_seed(7)
    trained = lightweight_openpose(refinement_stages=3).state_dict()
    torch.save({"state_dict": trained, "iter": 370000}, tmp_path / "checkpoint_iter_370000.pth")

    net = create_model("openpose-mobilenet", tmp_path / "checkpoint_iter_370000.pth")
    assert model_spec("openpose-mobilenet").arch["refinement_stages"] == 1
    assert all(torch.equal(value, trained[key]) for key, value in net.state_dict().items())


def test_an_input_that_is_not_a_multiple_of_the_stride_is_refused() -> None:
    with pytest.raises(ValueError, match="368x370"):
        lightweight_openpose(input_width=370)
