"""Small bundles for tests that deploy, prove and time, and broken ones."""

import shutil
from pathlib import Path

import numpy as np

from edgepose.build import build
from edgepose.bundle import Bundle, load_bundle, seal
from tests.tiny_nets import HEATMAP_TOML, save_heatmap_net


def save_tiny_model(folder: Path, name: str = "tiny", *, channels: int = 8) -> Path:
    """``<name>.onnx`` with its TOML beside it; more ``channels`` take longer."""
    folder.mkdir(parents=True, exist_ok=True)
    path = save_heatmap_net(folder / f"{name}.onnx", channels=channels)
    path.with_suffix(".toml").write_text(HEATMAP_TOML)
    return path


def build_tiny(
    folder: Path,
    name: str = "tiny",
    *,
    channels: int = 8,
    target: str = "host",
    recipe: str = "onnxruntime-fp32",
) -> Bundle:
    """The bundle ``folder/<name>-<recipe>``."""
    model = save_tiny_model(folder, name, channels=channels)
    return build(str(model), target, recipe, into=folder / f"{name}-{recipe}")


def with_false_golden_outputs(bundle: Bundle, folder: Path) -> Bundle:
    """A copy in ``folder``, sealed again, that promises outputs its artifact does not give."""
    shutil.copytree(bundle.folder, folder)
    for case in bundle.manifest.golden:
        for path in case.outputs.values():
            np.save(folder / path, np.load(folder / path) + 1)
    seal(folder, bundle.manifest)
    return load_bundle(folder)


def with_ballast(bundle: Bundle, folder: Path, size_mib: int) -> Bundle:
    """A copy in ``folder``, sealed again, with a file of this size that does nothing."""
    shutil.copytree(bundle.folder, folder)
    (folder / "ballast").write_bytes(b"\0" * (size_mib << 20))
    seal(folder, bundle.manifest)
    return load_bundle(folder)
