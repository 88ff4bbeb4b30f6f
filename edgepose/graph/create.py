"""Make a zoo entry's PyTorch module, with weights from a file or seeded ones."""

from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from edgepose.graph.weights import read_weights
from edgepose.zoo import InputSpec, ModelSpec, model_spec

SEED = 0
# Four images make steadier statistics; one is all that a costly net gets within a few seconds.
_IMAGES = 4
_COSTLY_MACS = 2_000_000_000
# At unit variance everywhere some untrained nets are chaotic: they amplify rounding until single
# precision says nothing of their outputs. A little less keeps all of them tame.
_NORM_SCALE = 0.7


def create_model(model: str | ModelSpec, weights: Path | str | None = None) -> nn.Module:
    """The net of a zoo entry in eval mode; ``net(x)`` takes float32 [N, 3, height, width].

    Its outputs are the original code's, in their order and layout. ``weights`` is a safetensors
    file, a checkpoint of the original project as published, or an ONNX export of the net; without
    it the weights are seeded: every call gives the same ones. Raises UsageError for an unknown
    name and WeightsError for a file that does not fit.
    """
    spec = model_spec(model) if isinstance(model, str) else model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        net = build_net(spec)
        if weights is None:
            _calibrate(net, _smooth_noise(spec))
        else:
            net.load_state_dict(read_weights(Path(weights), net, spec))
    return net.eval()


def build_net(spec: ModelSpec) -> nn.Module:
    """The net of a zoo entry as its builder initialises it."""
    module_name, _, function = spec.builder.partition(":")
    net: nn.Module = getattr(import_module(module_name), function)(**spec.arch)
    return net


def _smooth_noise(spec: ModelSpec) -> Tensor:
    """Float32 [N, 3, height, width], zero mean, variance about 1.3: broad shapes and fine grain."""
    assert spec.input is not None, "every zoo model says its input"
    size: InputSpec = spec.input
    images = 1 if (spec.macs or 0) > _COSTLY_MACS else _IMAGES
    coarse = torch.randn(images, 3, size.height // 16, size.width // 16)
    shape = [size.height, size.width]
    smooth = nn.functional.interpolate(coarse, shape, mode="bilinear", align_corners=False)
    return smooth + torch.randn_like(smooth)


def _calibrate(net: nn.Module, samples: Tensor) -> None:
    """Set the batch norms' running means and variances from ``samples``, and calm them down.

    Untrained nets otherwise shrink their activations layer by layer, down to denormal numbers
    that run slower than any real net and make every relative error meaningless.
    """
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    net.eval()
    for norm in norms:
        norm.weight.data *= _NORM_SCALE
        norm.momentum = None  # cumulative average: one forward pass sets the statistics
        norm.reset_running_stats()
        norm.train()
    with torch.no_grad():
        net(samples)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
