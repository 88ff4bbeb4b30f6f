"""Weights out of an ONNX export of a zoo net whose batch norms were folded into convolutions.

Each convolution of the file goes to a layer of the net, by the layer's name where the file kept it
and by the order of execution where not; the folded bias becomes a batch norm that only adds. That
the result is the same net is then seen from its outputs.
"""

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

from edgepose.errors import WeightsError
from edgepose.zoo import ModelSpec, RTMDetDecoder

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
_TOLERANCE = 1e-4  # of the largest output; float32 rounding in another order makes about 1e-5
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Layer:
    """A convolution of the net and the batch norm behind it, by their dotted names."""

    name: str
    shape: tuple[int, ...]
    channels: int
    biased: bool
    norm: str | None
    eps: float


@dataclass(frozen=True)
class Folded:
    """A convolution of the file; ``scope`` is the dotted name of the layer it was exported from."""

    scope: tuple[str, ...]
    weight: Tensor
    bias: Tensor | None


def read_onnx_weights(path: Path, net: nn.Module, spec: ModelSpec) -> dict[str, Tensor]:
    """Weights by the keys of ``net``, as far as the file's convolutions tell them.

    Where they tell all of them, both nets have run on one input with equal outputs. Raises
    WeightsError.
    """
    if not path.is_file():
        raise WeightsError(f"weights file {path} does not exist", hint="Check the path.")
    try:
        model = onnx.load(str(path))
        convolutions = _convolutions(model.graph)
    except Exception as error:  # noqa: BLE001 - protobuf and onnx raise many types
        raise WeightsError(
            f"{path} cannot be read as ONNX: {error or type(error).__name__}",
            hint="Give an ONNX file that holds its weights itself.",
        ) from None
    layers = _layers(net, spec)
    pairs = _by_name(convolutions, layers) or _by_order(convolutions, layers)
    if pairs is None:
        raise WeightsError(
            f"the {len(convolutions)} convolutions of {path} do not map to the {len(layers)} "
            f"of {spec.name}, neither by name nor in order",
            hint="Check that the file is an export of this model and size.",
        )
    state: dict[str, Tensor] = {}
    for convolution, layer in pairs:
        state |= _unfolded(convolution, layer, path)
    if state.keys() == net.state_dict().keys():
        _compare(path, model, net, state, spec)
    return state


def _convolutions(graph: Any) -> list[Folded]:
    arrays = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in graph.initializer
    }
    found = []
    for node in graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            weight, *bias = (arrays[name] for name in node.input[1:] if name)
            found.append(Folded(_scope(node.name), weight, bias[0] if bias else None))
    return found


def _scope(node: str) -> tuple[str, ...]:
    """``/model/stem/stem.0/conv/Conv`` → model, stem, 0, conv: the exporter repeats containers."""
    parts: list[str] = []
    for segment in node.split("/")[:-1]:
        if parts and segment.startswith(f"{parts[-1]}."):
            parts.pop()
        if segment:
            parts.append(segment)
    return tuple(".".join(parts).split("."))


def _layers(net: nn.Module, spec: ModelSpec) -> list[Layer]:
    """The convolutions of ``net`` in the order of execution, each with the norm behind it."""
    assert spec.input is not None, "every zoo model says its input"
    ghost = copy.deepcopy(net).to("meta").eval()
    names = {module: name for name, module in ghost.named_modules()}
    executed: list[tuple[Any, Tensor]] = []
    norms: dict[nn.Module, nn.Module] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, _CONVOLUTIONS):
            executed.append((module, output))
            return
        norms.update({conv: module for conv, made in executed if made is inputs[0]})

    for module in names:
        if isinstance(module, (*_CONVOLUTIONS, nn.BatchNorm2d)):
            module.register_forward_hook(note)
    with torch.no_grad():
        ghost(torch.empty(1, 3, spec.input.height, spec.input.width, device="meta"))
    return [
        Layer(
            name=names[conv],
            shape=tuple(conv.weight.shape),
            channels=conv.out_channels,
            biased=conv.bias is not None,
            norm=names[norm] if (norm := norms.get(conv)) else None,
            eps=getattr(norm, "eps", 0.0),
        )
        for conv, _ in executed
    ]


def _by_name(
    convolutions: Sequence[Folded], layers: Sequence[Layer]
) -> list[tuple[Folded, Layer]] | None:
    """Each convolution with the layer whose dotted name ends most like its scope, one to one.

    The beginnings may differ: the exported module wrapped, or unwrapped, a part of the net.
    """
    pairs = []
    for convolution in convolutions:
        ranked = sorted(layers, key=lambda layer: _common_end(convolution.scope, layer.name))
        pairs.append((convolution, ranked[-1]))
    return pairs if _one_to_one(pairs, layers) else None


def _common_end(scope: Sequence[str], name: str) -> int:
    parts = name.split(".")
    count = 0
    while count < min(len(scope), len(parts)) and scope[-1 - count] == parts[-1 - count]:
        count += 1
    return count


def _by_order(
    convolutions: Sequence[Folded], layers: Sequence[Layer]
) -> list[tuple[Folded, Layer]] | None:
    pairs = list(zip(convolutions, layers, strict=False))
    return pairs if _one_to_one(pairs, layers) else None


def _one_to_one(pairs: Sequence[tuple[Folded, Layer]], layers: Sequence[Layer]) -> bool:
    """Every layer once, every shape right. A layer that runs twice cannot have two foldings."""
    used = sorted(layer.name for _, layer in pairs)
    return used == sorted({layer.name for layer in layers}) and all(
        tuple(convolution.weight.shape) == layer.shape for convolution, layer in pairs
    )


def _unfolded(convolution: Folded, layer: Layer, path: Path) -> dict[str, Tensor]:
    """The layer's weights, its norm set so that it returns its input plus the folded bias."""
    zeros, ones = torch.zeros(layer.channels), torch.ones(layer.channels)
    bias = zeros if convolution.bias is None else convolution.bias
    state = {f"{layer.name}.weight": convolution.weight}
    if layer.biased:
        state[f"{layer.name}.bias"] = bias
    elif layer.norm is None and bias.any():
        raise WeightsError(
            f"{path} has a bias in {layer.name}, where the net has none",
            hint="Its batch norms were folded into sums, which cannot be undone; "
            "import the PyTorch checkpoint.",
        )
    if layer.norm is not None:
        state |= {
            f"{layer.norm}.weight": ones * (1 + layer.eps) ** 0.5,
            f"{layer.norm}.bias": zeros if layer.biased else bias,
            f"{layer.norm}.running_mean": zeros,
            f"{layer.norm}.running_var": ones,
            f"{layer.norm}.num_batches_tracked": torch.tensor(0),
        }
    return state


def _compare(
    path: Path, model: Any, net: nn.Module, state: dict[str, Tensor], spec: ModelSpec
) -> None:
    """Run both nets on seeded noise. Raises WeightsError where their outputs differ."""
    assert spec.input is not None, "every zoo model says its input"
    _log.info("%s: comparing its outputs with those of %s", spec.name, path.name)
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, spec.input.height, spec.input.width, generator=generator)
    filled = copy.deepcopy(net).eval()
    filled.load_state_dict(state)
    with torch.no_grad():
        outputs = filled(image)
    ours = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    try:
        with np.errstate(all="ignore"):
            theirs = ReferenceEvaluator(model).run(None, {model.graph.input[0].name: image.numpy()})
    except Exception as error:  # noqa: BLE001 - whatever the file makes the evaluator raise
        raise WeightsError(f"{path} cannot be run on {list(image.shape)}: {error}") from None
    if isinstance(spec.decoder, RTMDetDecoder) and len(theirs) == len(spec.decoder.strides):
        ours = _fused(ours)
    worst = [_relative_difference(a.numpy(), b) for a, b in zip(ours, theirs, strict=False)]
    if len(ours) != len(theirs) or not max(worst) < _TOLERANCE:
        raise WeightsError(
            f"{spec.name} with the weights of {path} does not compute what the file computes",
            hint="The file is an export of another net, or not as it was exported.",
        )


def _fused(outputs: Sequence[Tensor]) -> list[Tensor]:
    """Logits per level, then distances per level → one [1, h, w, C + 4] per level."""
    half = len(outputs) // 2
    levels = zip(outputs[:half], outputs[half:], strict=True)
    return [torch.cat(level, dim=1).permute(0, 2, 3, 1) for level in levels]


def _relative_difference(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    if ours.shape != theirs.shape:
        return float("inf")
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())
