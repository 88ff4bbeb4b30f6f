"""SimpleBaseline is MMPose's: its key names, its strides, its published sizes."""

import re

import pytest
import torch

from edgepose.graph.inspect import count_parameters
from edgepose.zoo import family_of, model_spec, zoo
from models_src.baselines.simplebaseline.net import simplebaseline

NAMES = [spec.name for spec in zoo().values() if spec.family == "simplebaseline"]
PRINTED = [name for name in NAMES if model_spec(name).published.parameters_m]


@pytest.mark.parametrize("name", PRINTED)
def test_parameters_are_those_that_are_printed(name: str) -> None:
    spec = model_spec(name)
    with torch.device("meta"):
        net = simplebaseline(**spec.arch)
    assert round(count_parameters(net) / 1e6, 1) == spec.published.parameters_m


def test_an_rtmpose_paper_s_figure_is_reproduced_for_every_data_set() -> None:
    # RTMPose, tables 6 and 7
    printed = {"ap10k": 7.28, "crowdpose": 5.46, "mpii": 7.28}
    for dataset, gmacs in printed.items():
        counted = model_spec(f"simplebaseline-r50-{dataset}").paper_macs
        assert counted is not None
        assert round(counted / 1e9, 2) == gmacs


@pytest.mark.parametrize(("name", "keys"), [("r50", 338), ("r101", 644), ("r152", 950)])
def test_keys_are_mmpose_s(name: str, keys: int) -> None:
    with torch.device("meta"):
        state = simplebaseline(**model_spec(f"simplebaseline-{name}").arch).state_dict()
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    assert len(shapes) == keys
    assert list(shapes)[:2] == ["backbone.conv1.weight", "backbone.bn1.weight"]
    assert list(shapes)[-2:] == ["head.final_layer.weight", "head.final_layer.bias"]
    assert shapes["backbone.layer1.0.downsample.0.weight"] == (256, 64, 1, 1)
    assert shapes["backbone.layer4.2.conv3.weight"] == (2048, 512, 1, 1)
    assert shapes["head.deconv_layers.0.weight"] == (2048, 256, 4, 4)
    assert shapes["head.deconv_layers.7.running_mean"] == (256,)
    assert shapes["head.final_layer.weight"] == (17, 256, 1, 1)


def test_the_3x3_convolution_strides() -> None:
    with torch.device("meta"):
        backbone = simplebaseline().backbone
    for stage, stride in ((backbone.layer1, 1), (backbone.layer2, 2), (backbone.layer4, 2)):
        assert stage[0].conv1.stride == (1, 1)
        assert stage[0].conv2.stride == (stride, stride)
        assert stage[1].conv2.stride == (1, 1)


def test_keys_of_mmpose_before_1_0_become_ours() -> None:
    with torch.device("meta"):
        ours = simplebaseline().state_dict().keys()
    rules = family_of(model_spec("simplebaseline-r50")).checkpoint
    ((pattern, replacement),) = rules.rename
    old = [re.sub(r"^head\.", "keypoint_head.", key) for key in ours]
    assert set(old) != set(ours)
    assert [re.sub(pattern, replacement, key) for key in old] == list(ours)


def test_heatmaps_are_a_quarter_of_the_crop() -> None:
    net = simplebaseline((1, 1, 1, 1), 64, 96, keypoints=5, deconv_channels=(8, 8, 8)).eval()
    with torch.inference_mode():
        assert net(torch.zeros(2, 3, 64, 96)).shape == (2, 5, 16, 24)


def test_an_input_that_is_not_a_multiple_of_the_stride_is_refused() -> None:
    with pytest.raises(ValueError, match="250x192"):
        simplebaseline(input_height=250)
