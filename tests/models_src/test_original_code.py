"""The nets are those of the original code: same keys, same outputs, same sizes."""

import numpy as np
import pytest
import torch

# model -> stem of its files in the reference folder
KEYS = {
    "litepose-xs": "litepose-xs-coco",
    "litepose-xs-crowdpose": "litepose-xs-crowdpose",
    "rtmpose-t": "rtmpose-t",
    "rtmpose-s": "rtmpose-s",
    "rtmdet-nano": "rtmdet-nano",
}
# model -> stem, names of its outputs in the reference file
OUTPUTS = {
    "litepose-xs": ("litepose-xs-coco", ["out0", "out1"]),
    "rtmpose-t": ("rtmpose-t", ["pred_x", "pred_y"]),
    "rtmdet-nano": ("rtmdet-nano", ["cls0", "cls1", "cls2", "reg0", "reg1", "reg2"]),
}


@pytest.mark.parametrize(("name", "stem"), KEYS.items())
def test_state_dict_has_the_keys_and_shapes_of_the_original_in_order(build, reference, name, stem):
    lines = (reference / f"{stem}.keys.txt").read_text().splitlines()
    ours = [f"{key}\t{tuple(value.shape)}" for key, value in build(name).state_dict().items()]
    assert ours == lines


@pytest.mark.parametrize("name", OUTPUTS)
def test_net_computes_what_the_original_code_computed(build, reference, name):
    stem, names = OUTPUTS[name]
    net = build(name)
    net.load_state_dict(torch.load(reference / f"{stem}.pth", weights_only=True), strict=True)
    with np.load(reference / f"{stem}.npz", allow_pickle=False) as data:
        with torch.inference_mode():
            outputs = net(torch.from_numpy(data["input"]))
        assert len(outputs) == len(names)
        for key, output in zip(names, outputs, strict=True):
            np.testing.assert_allclose(output.numpy(), data[key], rtol=1e-4, atol=1e-4, err_msg=key)
