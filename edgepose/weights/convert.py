"""Checkpoints of the original projects to safetensors of ours, and back."""

import io
import json
import logging
from pathlib import Path

import msgspec

from edgepose import __version__
from edgepose.errors import ToolchainError, UsageError
from edgepose.files import sha256_file, write_atomic
from edgepose.fingerprint import package_version
from edgepose.zoo import CheckpointRules, ModelSpec, WeightsSource, family_of, model_spec

METADATA_KEY = "edgepose"
_log = logging.getLogger(__name__)


class Provenance(msgspec.Struct, frozen=True):
    """Where imported weights come from; no time, so that equal imports are equal files."""

    model: str
    source: str
    sha256: str
    published: WeightsSource | None
    rules: CheckpointRules
    edgepose: str = __version__


def import_weights(model: str, source: Path, into: Path | None = None) -> tuple[Path, Provenance]:
    """Write the weights of ``model`` in ``source`` as safetensors, with their provenance.

    ``source`` is a checkpoint of the original project, a safetensors file, or an ONNX export of
    the net. Default for ``into``: ``<model>.safetensors`` in the working directory. Raises
    UsageError where it exists, and WeightsError for a file that is unsafe or does not fit.
    """
    spec = model_spec(model)
    path = _free(into or Path(f"{model}.safetensors"))
    _need("torch", "safetensors", "onnx")
    from safetensors.torch import save

    from edgepose.graph.create import build_net
    from edgepose.graph.weights import read_weights

    state = read_weights(source, build_net(spec), spec)
    provenance = _provenance(spec, source)
    # One entry: safetensors writes several in an order that changes from run to run. Tensors
    # that a net's levels share are copied, because safetensors refuses shared storage.
    metadata = {METADATA_KEY: json.dumps(msgspec.to_builtins(provenance), sort_keys=True)}
    _write(path, save({name: tensor.clone() for name, tensor in state.items()}, metadata))
    _log.info("%s: %d tensors of %s (%s)", model, len(state), source, _known(provenance))
    return path, provenance


def export_weights(model: str, weights: Path, into: Path | None = None) -> Path:
    """Write ``weights`` of ``model`` as a PyTorch state dict with the original project's keys.

    Default for ``into``: ``<model>.pth`` in the working directory. Raises UsageError where it
    exists, and WeightsError for a file that is unsafe or does not fit.
    """
    spec = model_spec(model)
    path = _free(into or Path(f"{model}.pth"))
    _need("torch", "safetensors", "onnx")
    import torch

    from edgepose.graph.create import build_net
    from edgepose.graph.weights import read_weights

    state = read_weights(weights, build_net(spec), spec)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    _write(path, buffer.getvalue())
    return path


def _provenance(spec: ModelSpec, source: Path) -> Provenance:
    sha256 = sha256_file(source)
    published = (w for w in spec.weights if w.sha256_prefix and sha256.startswith(w.sha256_prefix))
    return Provenance(
        model=spec.name,
        source=source.name,
        sha256=sha256,
        published=next(published, None),
        rules=family_of(spec).checkpoint,
    )


def _known(provenance: Provenance) -> str:
    published = provenance.published
    return f"published as {published.name}" if published else "not a file that the zoo knows"


def _free(path: Path) -> Path:
    if path.exists():
        raise UsageError(
            f"{path} exists already", hint="Remove it, or name another file with --into."
        )
    return path


def _write(path: Path, data: bytes) -> None:
    try:
        write_atomic(path, data)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", hint="Name another file with --into."
        ) from None


def _need(*packages: str) -> None:
    missing = [name for name in packages if not package_version(name)]
    if missing:
        raise ToolchainError(
            f"weights need {', '.join(missing)}, which this host lacks",
            hint="Install it with `pip install 'edgepose[torch]'`.",
        )
