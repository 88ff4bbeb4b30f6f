"""RTMDet's table against the original code and the published figures; the head's shared weights."""

import json
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import nn

from edgepose.zoo import model_spec
from models_src.rtmdet.net import RTMDetHead

# model -> entry of counts_rtmdet_x.json
COUNTS = {
    "rtmdet-nano": "rtmdet-nano-320",
    "rtmdet-m": "rtmdet-m-640",
    "rtmdet-tiny-coco80": "rtmdet-tiny-640",
    "rtmdet-tiny-coco80-320x320": "rtmdet-tiny-320",
    "rtmdet-s-coco80": "rtmdet-s-640",
}


def on_meta(name: str) -> nn.Module:
    spec = model_spec(name)
    module, function = spec.builder.split(":")
    with torch.device("meta"):
        net: nn.Module = getattr(import_module(module), function)(**spec.arch)
    return net


@pytest.mark.parametrize("name", COUNTS)
def test_table_has_the_parameters_and_macs_of_the_original_code(reference: Path, name: str) -> None:
    expected = json.loads((reference / "counts_rtmdet_x.json").read_text())[COUNTS[name]]
    assert model_spec(name).parameters == expected["params"]
    assert model_spec(name).macs == expected["flopcounter_macs"]


@pytest.mark.parametrize("name", ["rtmdet-nano", "rtmdet-m", "rtmdet-s-coco80", "rtmdet-m-coco80"])
def test_published_parameters_come_out_to_every_printed_digit(name: str) -> None:
    spec = model_spec(name)
    assert spec.parameters is not None
    assert round(spec.parameters / 1e6, 2) == spec.published.parameters_m


@pytest.mark.parametrize("size", ["tiny", "s", "m"])
def test_80_classes_change_the_class_predictors_only(size: str) -> None:
    person = {
        key: tuple(value.shape) for key, value in on_meta(f"rtmdet-{size}").state_dict().items()
    }
    coco = on_meta(f"rtmdet-{size}-coco80").state_dict()
    assert list(person) == list(coco)
    changed = {key for key, value in coco.items() if tuple(value.shape) != person[key]}
    levels = range(3)
    assert changed == {
        f"bbox_head.rtm_cls.{level}.{what}" for level in levels for what in ("weight", "bias")
    }


def test_only_the_large_person_detector_predicts_exponents() -> None:
    exponents = {
        name: on_meta(name).bbox_head.exp_on_reg
        for name in ("rtmdet-nano", "rtmdet-tiny", "rtmdet-s", "rtmdet-m")
    }
    assert [name for name, exponent in exponents.items() if exponent] == ["rtmdet-m"]


def test_a_checkpoint_with_an_entry_per_level_fills_the_shared_convolutions() -> None:
    def head() -> RTMDetHead:
        return RTMDetHead(8, 1, depthwise=False, share_conv=True, exp_on_reg=False).eval()

    trained, loaded = head(), head()
    state = {key: value.clone() for key, value in trained.state_dict().items()}
    assert {f"cls_convs.{level}.0.conv.weight" for level in range(3)} <= set(state)
    loaded.load_state_dict(state, strict=True)

    features = tuple(torch.randn(1, 8, side, side) for side in (8, 4, 2))
    with torch.inference_mode():
        for output, expected in zip(loaded(features), trained(features), strict=True):
            torch.testing.assert_close(output, expected)
    assert loaded.cls_convs[2][0].conv is loaded.cls_convs[0][0].conv
