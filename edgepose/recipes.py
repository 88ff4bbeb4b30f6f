"""Recipes: how a model becomes an artifact (engine, precision, options, gates), as data."""

from typing import Annotated, Any, Literal

import msgspec

from edgepose.config import find_overlaid, load_toml, pick
from edgepose.errors import UsageError
from edgepose.targets import Target

Fraction = Annotated[float, msgspec.Meta(ge=0)]


class _Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the tables of a recipe file."""


class TensorGate(_Data, frozen=True, kw_only=True):
    """Limits per output tensor against the FP32 golden one (see ``prove``)."""

    max_relative_error: Fraction
    mean_relative_error: Fraction
    min_cosine: Fraction


class KeypointGate(_Data, frozen=True, kw_only=True):
    """Limits in key-point space, applied where the weights are trained."""

    max_mean_drift_px: Fraction
    max_drift_px: Fraction
    min_oks: Fraction


class Gates(_Data, frozen=True, kw_only=True):
    tensor: TensorGate
    keypoint: KeypointGate


class Recipe(_Data, frozen=True, kw_only=True):
    """``safer`` names recipes of higher precision for models that this one cannot prove."""

    title: str
    engine: Literal["onnxruntime", "ncnn", "tvm", "tensorrt", "tflite", "openvino"]
    precision: Literal["fp32", "bf16", "fp16", "int8"]
    gates: Gates
    max_opset: int = 17
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    safer: tuple[str, ...] = ()
    name: str = ""

    @property
    def on_gpu(self) -> bool:
        """Whether its kernels are CUDA's, which the device itself must compile."""
        return self.options.get("device") == "cuda"


def fallback(precision: str, computed_in: str | None) -> str:
    """That a runtime computed in another than a recipe's ``precision``, as half a sentence.

    Empty where it did not, and where it does not say (None).
    """
    if computed_in in (None, precision):
        return ""
    return f"the runtime was told to compute in {precision} and computed in {computed_in}"


def list_recipes() -> list[str]:
    """Names of all recipes: shipped, the user's and the project's."""
    return sorted(find_overlaid("recipes"))


def load_recipe(name: str) -> Recipe:
    """Read the recipe ``name``. Raises UsageError for an unknown name."""
    path = pick(name, find_overlaid("recipes"), "recipe", "edgepose recipes")
    return msgspec.structs.replace(load_toml(path, Recipe), name=name)


def recipe_for(target: Target, name: str | None) -> Recipe:
    """The recipe ``name`` (default: the target's own) if the target allows it.

    Raises UsageError for an unknown recipe or one that the target does not allow.
    """
    recipe = load_recipe(name or target.recipes.default)
    if recipe.name not in target.recipes.allowed:
        raise UsageError(
            f"recipe {recipe.name!r} is not allowed on target {target.name!r}; "
            f"allowed: {', '.join(target.recipes.allowed)}",
            hint="Choose one of these, or allow it in a target file of your own in ./targets.",
        )
    return recipe
