"""Make a zoo entry's PyTorch module, with weights from a file or seeded ones."""

from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from edgepose.graph.weights import load_weights
from edgepose.zoo import InputSpec, ModelSpec, model_spec

SEED = 0


def create_model(model: str | ModelSpec, weights: Path | str | None = None) -> nn.Module:
    """The net of a zoo entry in eval mode; ``net(x)`` takes float32 [N, 3, height, width].

    Its outputs are the original code's, in their order and layout. ``weights`` is a safetensors
    file or a PyTorch checkpoint of tensors; without it the weights are seeded: every call gives
    the same ones. Raises UsageError for an unknown name and WeightsError for a file that does
    not fit.
    """
    spec = model_spec(model) if isinstance(model, str) else model
    assert spec.input is not None, "every zoo model says its input"
    module_name, _, function = spec.builder.partition(":")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        net: nn.Module = getattr(import_module(module_name), function)(**spec.arch)
        if weights is None:
            _calibrate(net, _smooth_noise(spec.input))
        else:
            load_weights(net, Path(weights), spec.name)
    return net.eval()


def _smooth_noise(size: InputSpec) -> Tensor:
    """Float32 [4, 3, height, width], zero mean, about unit variance, smooth as images are."""
    coarse = torch.randn(4, 3, size.height // 16, size.width // 16)
    shape = [size.height, size.width]
    smooth = nn.functional.interpolate(coarse, shape, mode="bilinear", align_corners=False)
    return smooth + 0.5 * torch.randn_like(smooth)


def _calibrate(net: nn.Module, samples: Tensor) -> None:
    """Set the batch norms' running means and variances from ``samples``.

    Untrained nets otherwise shrink their activations layer by layer, down to denormal numbers
    that run slower than any real net and make every relative error meaningless.
    """
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    net.eval()
    for norm in norms:
        norm.momentum = None  # cumulative average: one forward pass sets the statistics
        norm.reset_running_stats()
        norm.train()
    with torch.no_grad():
        net(samples)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
