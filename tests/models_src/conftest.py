"""Nets from the zoo and the outputs of the original code."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from torch import nn

from edgepose.zoo import model_spec

Build = Callable[[str], nn.Module]


@pytest.fixture(scope="session")
def build() -> Build:
    """A function from a model's name to its net in eval mode, randomly initialised."""

    def build_net(name: str) -> nn.Module:
        spec = model_spec(name)
        module, function = spec.builder.split(":")
        net: nn.Module = getattr(import_module(module), function)(**spec.arch)
        return net.eval()

    return build_net


@pytest.fixture(scope="session")
def reference(shared_data: Path) -> Path:
    """The folder with weights, keys, counts and outputs of the original code."""
    return shared_data / "reference"
