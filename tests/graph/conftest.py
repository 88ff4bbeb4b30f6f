"""The zoo's nets, each made once."""

from collections.abc import Callable
from functools import cache

import pytest
from torch import nn

from edgepose.graph.create import create_model


@pytest.fixture(scope="session")
def zoo_net() -> Callable[[str], nn.Module]:
    """A function from a model's name to its seeded net."""
    return cache(create_model)
