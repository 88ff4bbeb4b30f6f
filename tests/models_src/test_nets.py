"""What the nets promise beyond the reference data: layouts, sharing, exports."""

import onnxruntime
import pytest
import torch

from edgepose.graph.inspect import count_parameters
from edgepose.zoo import model_spec
from models_src.litepose.net import litepose
from models_src.rtmdet.net import rtmdet
from models_src.rtmpose.net import rtmpose


def example(name: str) -> torch.Tensor:
    shape = model_spec(name).input
    assert shape is not None
    return torch.randn(1, 3, shape.height, shape.width, generator=torch.Generator().manual_seed(0))


def test_litepose_returns_heatmaps_and_tags_then_finer_heatmaps(build):
    out0, out1 = build("litepose-xs-crowdpose")(torch.zeros(2, 3, 64, 128))
    assert out0.shape == (2, 28, 16, 32)
    assert out1.shape == (2, 14, 32, 64)


def test_rtmpose_returns_two_bins_per_pixel_of_each_axis():
    net = rtmpose(
        widen=0.375, deepen=0.167, input_height=64, input_width=96, keypoints=5, split=2.0
    ).eval()
    simcc_x, simcc_y = net(torch.zeros(2, 3, 64, 96))
    assert simcc_x.shape == (2, 5, 192)
    assert simcc_y.shape == (2, 5, 128)


def test_rtmpose_refuses_an_input_that_is_not_a_multiple_of_its_stride():
    with pytest.raises(ValueError, match="250x192"):
        rtmpose(widen=0.375, deepen=0.167, input_height=250)


def test_rtmdet_returns_classes_of_all_levels_then_distances_of_all_levels(build):
    shapes = [tuple(output.shape) for output in build("rtmdet-nano")(torch.zeros(1, 3, 64, 64))]
    sides = [8, 4, 2]
    assert shapes == [(1, 1, s, s) for s in sides] + [(1, 4, s, s) for s in sides]


def test_shared_rtmdet_head_has_one_set_of_convolutions_and_a_norm_per_level():
    head = rtmdet(widen=0.375, deepen=0.167, share_conv=True).bbox_head
    for towers in (head.cls_convs, head.reg_convs):
        assert towers[1][0].conv is towers[0][0].conv
        assert towers[2][1].conv is towers[0][1].conv
        assert towers[1][0].bn is not towers[0][0].bn
    # The aliases stay in the state_dict, where the original checkpoints have them too.
    assert "cls_convs.2.1.conv.weight" in head.state_dict()


def test_exponential_distances_are_positive_and_grow_with_the_stride():
    net = rtmdet(widen=0.25, deepen=0.33, exp_on_reg=True).eval()
    with torch.no_grad():
        for predictor in net.bbox_head.rtm_reg:
            predictor.weight.zero_()
        outputs = net(torch.zeros(1, 3, 64, 64))
    assert [float(distance.unique()) for distance in outputs[3:]] == [8.0, 16.0, 32.0]


def test_sharing_depthwise_convolutions_is_refused():
    with pytest.raises(ValueError, match="share_conv"):
        rtmdet(widen=0.25, deepen=0.33, depthwise=True, share_conv=True)


def test_untrained_detector_believes_in_a_person_with_one_percent(build):
    head = build("rtmdet-nano").bbox_head
    assert all(
        layer.bias.sigmoid().item() == pytest.approx(0.01, rel=1e-5) for layer in head.rtm_cls
    )


def test_litepose_takes_another_kernel_and_expansion():
    numbers = {
        "stem_channels": 8,
        "stage_channels": [8, 16, 16, 24],
        "stage_blocks": [1, 2, 1, 1],
        "deconv_channels": [8, 8, 8],
    }
    small = litepose(**numbers, kernel_size=3, expansion=2)
    large = litepose(**numbers, kernel_size=7, expansion=2)
    # 40 more weights per hidden channel of the five depthwise convolutions
    assert count_parameters(large) - count_parameters(small) == 40 * (16 + 16 + 32 + 32 + 32)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("litepose-xs", "litepose-xs-coco"),
        ("rtmpose-t", "rtmpose-t"),
        ("rtmdet-nano", "rtmdet-nano"),
    ],
)
def test_exported_net_computes_the_same_in_onnxruntime(build, reference, tmp_path, name, stem):
    net = build(name)
    net.load_state_dict(torch.load(reference / f"{stem}.pth", weights_only=True))
    image = example(name)
    with torch.inference_mode():
        expected = net(image)
    path = tmp_path / "net.onnx"
    torch.onnx.export(net, (image,), path, dynamo=False, opset_version=17)

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    for output, wanted in zip(outputs, expected, strict=True):
        # LitePose's random reference weights amplify rounding: float32 PyTorch itself is 5e-4
        # away from float64 there, so an absolute 1e-4 would test the CPU and not the graph.
        tolerance = 2e-4 * wanted.abs().max().item()
        assert abs(output - wanted.numpy()).max() < tolerance
