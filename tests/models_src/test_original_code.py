"""The nets are those of the original code: same keys, same outputs, same sizes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from edgepose.graph.inspect import count_macs, count_parameters
from models_src.litepose.net import litepose
from models_src.rtmdet.net import rtmdet
from models_src.rtmpose.net import rtmpose

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

# name in counts_litepose.json without the data set -> the arch's numbers
LITEPOSE_SIZES = {
    "search-XS": (16, [16, 32, 48, 80], [16, 24, 24]),
    "search-S": (16, [16, 32, 48, 120], [32, 24, 32]),
    "search-M": (16, [24, 48, 72, 120], [64, 40, 32]),
    "search-L": (24, [24, 64, 96, 160], [64, 40, 32]),
    "prune-S": (16, [16, 32, 48, 80], [32, 24, 16]),
    "prune-M": (24, [24, 48, 72, 120], [48, 40, 24]),
    "prune-L": (24, [32, 64, 96, 160], [64, 48, 32]),
}
# name in counts_rtmpose.json or counts_rtmdet_x.json -> widen, deepen, height, width, key points
RTMPOSE_SIZES = {
    "rtmpose-m": (0.75, 0.67, 256, 192, 17),
    "rtmpose-l": (1.0, 1.0, 256, 192, 17),
    "rtmpose-m-384": (0.75, 0.67, 384, 288, 17),
    "rtmpose-l-384": (1.0, 1.0, 384, 288, 17),
    "rtmpose-m_8xb64-210e_mpii-256x256.py": (0.75, 0.67, 256, 256, 16),
    "rtmpose-m_8xb64-210e_crowdpose-256x192.py": (0.75, 0.67, 256, 192, 14),
    "rtmpose-m_8xb64-270e_coco-wholebody-256x192.py": (0.75, 0.67, 256, 192, 133),
    "rtmpose-l_8xb64-270e_coco-wholebody-256x192.py": (1.0, 1.0, 256, 192, 133),
    "rtmpose-l_8xb32-270e_coco-wholebody-384x288.py": (1.0, 1.0, 384, 288, 133),
    "rtmpose-x_8xb256-700e_coco-384x288.py": (1.25, 1.33, 384, 288, 17),
}
# name in counts_rtmdet_x.json -> widen, deepen, classes, exp_on_reg
RTMDET_SIZES = {
    "rtmdet-tiny-320": (0.375, 0.167, 80, False),
    "rtmdet-tiny-640": (0.375, 0.167, 80, False),
    "rtmdet-s-640": (0.5, 0.33, 80, False),
    "rtmdet-m-640": (0.75, 0.67, 1, True),
}


def load_counts(path: Path) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = json.loads(path.read_text())
    return counts


def assert_counts(net: torch.nn.Module, height: int, width: int, expected: dict[str, int]) -> None:
    assert count_parameters(net) == expected["params"]
    assert count_macs(net, (torch.empty(1, 3, height, width),)) == expected["macs"]


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


@pytest.mark.parametrize("dataset", ["coco", "crowd_pose"])
@pytest.mark.parametrize("size", LITEPOSE_SIZES)
def test_one_litepose_builder_makes_every_published_size(reference, size, dataset):
    expected = load_counts(reference / "counts_litepose.json")[f"{dataset}/{size}.json"]
    stem_channels, stage_channels, deconv_channels = LITEPOSE_SIZES[size]
    with torch.device("meta"):
        net = litepose(
            stem_channels=stem_channels,
            stage_channels=stage_channels,
            deconv_channels=deconv_channels,
            keypoints={"coco": 17, "crowd_pose": 14}[dataset],
        )
    assert_counts(net, expected["img"], expected["img"], expected)


@pytest.mark.parametrize("size", RTMPOSE_SIZES)
def test_one_rtmpose_builder_makes_every_published_size(reference, size):
    counts = load_counts(reference / "counts_rtmpose.json")
    counts |= load_counts(reference / "counts_rtmdet_x.json")
    widen, deepen, height, width, keypoints = RTMPOSE_SIZES[size]
    with torch.device("meta"):
        net = rtmpose(
            widen=widen,
            deepen=deepen,
            input_height=height,
            input_width=width,
            keypoints=keypoints,
        )
    assert_counts(net, height, width, counts[size])


@pytest.mark.parametrize("size", RTMDET_SIZES)
def test_one_rtmdet_builder_makes_every_published_size(reference, size):
    expected = load_counts(reference / "counts_rtmdet_x.json")[size]
    widen, deepen, classes, exp_on_reg = RTMDET_SIZES[size]
    pixels = int(size.rsplit("-", 1)[1])
    with torch.device("meta"):
        net = rtmdet(widen=widen, deepen=deepen, classes=classes, exp_on_reg=exp_on_reg)
    assert_counts(net, pixels, pixels, expected)
