"""Real nets on the reference photographs."""

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from edgepose.build import build
from edgepose.bundle import Bundle
from tests.trained_model import EXAMPLES

BundleOf = Callable[[str, str], Bundle]


@pytest.fixture(scope="session")
def trained_bundle(
    shared_data: Path, own_places: None, tmp_path_factory: pytest.TempPathFactory
) -> BundleOf:
    """``trained_bundle(name, recipe)``: the bundle of a reference ONNX file for this host."""
    folder = tmp_path_factory.mktemp("trained")

    @cache
    def bundle(name: str, recipe: str) -> Bundle:
        model = shutil.copy(shared_data / "models" / f"{name}.onnx", folder)
        shutil.copy(EXAMPLES / f"{name}.toml", folder)
        return build(str(model), "host", recipe, into=folder / f"{name}-{recipe}")

    return bundle
