"""The tables of numbers agree with the nets they build and with themselves."""

import pytest
import torch

from edgepose.graph.inspect import count_macs, count_parameters
from edgepose.zoo import list_models, model_spec


@pytest.mark.parametrize("name", list_models())
def test_table_states_the_counts_and_outputs_of_the_net_it_builds(build, name):
    spec = model_spec(name)
    assert spec.input is not None
    image = torch.zeros(1, 3, spec.input.height, spec.input.width)
    net = build(name)
    assert count_parameters(net) == spec.parameters
    assert count_macs(net, (image,)) == spec.macs
    with torch.inference_mode():
        assert len(net(image)) == len(spec.outputs)


@pytest.mark.parametrize("name", list_models())
def test_table_repeats_shared_numbers_without_contradiction(name):
    spec = model_spec(name)
    assert spec.input is not None
    repeated = {
        "keypoints": spec.keypoints,
        "input_height": spec.input.height,
        "input_width": spec.input.width,
    }
    for key, value in repeated.items():
        assert spec.arch.get(key, value) == value


@pytest.mark.parametrize("name", list_models())
def test_checkpoint_hash_in_the_table_is_the_one_in_its_name(name):
    for source in model_spec(name).weights:
        if source.sha256_prefix is not None:
            assert source.sha256_prefix in source.name
            assert source.url is not None
            assert source.name in source.url
