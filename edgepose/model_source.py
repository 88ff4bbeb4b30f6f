"""What a build starts from: a zoo entry or an ONNX file, with its weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepose.errors import UsageError
from edgepose.files import sha256_file
from edgepose.fingerprint import net_hash
from edgepose.user_model import is_onnx_path, read_user_model
from edgepose.zoo import ModelSpec, model_spec


@dataclass(frozen=True)
class ModelSource:
    """``onnx`` is None for a zoo entry; ``weights`` None for seeded ones."""

    spec: ModelSpec
    onnx: Path | None
    weights: Path | None
    trained: bool

    def identity(self) -> dict[str, Any]:
        """Everything about the model that a build depends on."""
        return {
            "spec": self.spec,
            "onnx": sha256_file(self.onnx) if self.onnx else None,
            "code": None if self.onnx else net_hash(self.spec.builder),
            "weights": self.weights_sha256(),
            "trained": self.trained,
        }

    def weights_sha256(self) -> str | None:
        path = self.weights or self.onnx
        return sha256_file(path) if path else None

    def weights_name(self) -> str:
        path = self.weights or self.onnx
        return path.name if path else "seeded"


def find_source(model: str, weights: Path | None, untrained: bool) -> ModelSource:
    """Resolve a model's name or an ONNX path.

    A given weights file counts as trained unless ``untrained``. Raises UsageError.
    """
    if is_onnx_path(model):
        if weights:
            raise UsageError(
                f"{model} holds its own weights, so --weights does not apply",
                hint="Leave --weights out.",
            )
        spec, trained = read_user_model(Path(model))
        return ModelSource(spec, Path(model), None, trained and not untrained)
    spec = model_spec(model)
    if weights and not weights.is_file():
        raise UsageError(f"there is no weights file {weights}", hint="Check the path.")
    return ModelSource(spec, None, weights, weights is not None and not untrained)
