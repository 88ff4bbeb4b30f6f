"""From what a user names to a bundle on this host: shared by `run`, `serve` and `eval`."""

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgepose.cli.common import positive

if TYPE_CHECKING:
    from edgepose.bundle import Bundle

_log = logging.getLogger(__name__)


def add_bundle_options(parser: argparse.ArgumentParser, *, has_device: bool = False) -> None:
    """``--recipe`` or ``--engine``, ``--weights``, ``--threads``: for models run on this host.

    ``has_device``: or on a device, whose own number of threads ``None`` then stands for.
    """
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--recipe",
        help="how to compile what is built (default: the target's); "
        "auto: the fastest in `edgepose race`",
    )
    how.add_argument(
        "--engine",
        metavar="NAME",
        help="take the target's recipe for this engine: onnxruntime, openvino, ncnn or tvm",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="safetensors or checkpoint for the zoo's MODEL",
    )
    parser.add_argument(
        "--threads",
        type=positive,
        default=None if has_device else 1,
        metavar="N",
        help=f"CPU threads (default: 1{', on a device its own number' if has_device else ''})",
    )


def add_detector_options(parser: argparse.ArgumentParser, detector_help: str) -> None:
    """``--detector`` and ``--detector-weights``; see ``detector_of``."""
    parser.add_argument("--detector", metavar="MODEL|BUNDLE", help=detector_help)
    parser.add_argument(
        "--detector-weights",
        type=Path,
        metavar="FILE",
        help="safetensors or checkpoint for the zoo's --detector",
    )


def add_pipeline_options(parser: argparse.ArgumentParser) -> None:
    """``--model``, ``--detector``, ``--every`` and how to build them; see ``pose_and_detector``."""
    parser.add_argument(
        "--model", required=True, help="the pose model: a zoo name, an ONNX file or a bundle"
    )
    add_detector_options(
        parser, "finds the people for a top-down model; without it, all the picture is one person"
    )
    add_bundle_options(parser)
    parser.add_argument(
        "--every",
        type=positive,
        default=1,
        metavar="K",
        help="run the detector in every K-th frame only (default: 1)",
    )


def bundle_for(
    what: str, target: str = "host", recipe: str | None = None, weights: Path | None = None
) -> "Bundle":
    """The bundle in the folder ``what``, or one of the model ``what``, built where it is missing.

    Raises what loading or building it raises; UsageError for options that a built bundle ignores.
    """
    from edgepose.build import build
    from edgepose.bundle import load_bundle
    from edgepose.errors import UsageError

    if not Path(what).is_dir():
        return build(what, target, recipe, weights)
    bundle = load_bundle(what)
    if weights:
        raise UsageError(
            f"{what} is a bundle, which has its weights, so --weights does not apply",
            hint="Leave --weights out, or name the model instead.",
        )
    if recipe and recipe != bundle.manifest.recipe.name:
        raise UsageError(
            f"{what} is a bundle made by {bundle.manifest.recipe.name}, not by {recipe}",
            hint="Leave --recipe and --engine out, or name the model instead.",
        )
    return bundle


def recipe_of(arguments: argparse.Namespace, target: str = "host") -> str | None:
    """The recipe that ``add_bundle_options`` were given: the name, the engine's first, or None.

    Of an engine's recipes single precision comes first, then the target's order. Raises UsageError
    where the target has none.
    """
    if arguments.engine is None:
        recipe: str | None = arguments.recipe
        return recipe
    return recipe_of_engine(arguments.engine, target)


def recipe_of_engine(engine: str, target: str = "host") -> str:
    """The name of ``target``'s recipe for ``engine``; see ``recipe_of``."""
    from edgepose.errors import UsageError
    from edgepose.recipes import load_recipe
    from edgepose.targets import load_target

    recipes = [load_recipe(name) for name in load_target(target).recipes.allowed]
    fitting = [recipe for recipe in recipes if recipe.engine == engine]
    if not fitting:
        engines = sorted({recipe.engine for recipe in recipes})
        raise UsageError(
            f"the target {target!r} has no recipe for the engine {engine!r}",
            hint=f"Use one of: {', '.join(engines)}.",
        )
    return min(fitting, key=lambda recipe: recipe.precision != "fp32").name


def warn_of_seeded_weights(*bundles: "Bundle | None") -> None:
    """Log that what a model with random weights finds means nothing."""
    for bundle in bundles:
        if bundle and not bundle.manifest.weights.trained:
            model = bundle.manifest.model
            way = (
                "If it is trained, say so in the TOML beside it."
                if model.family == "onnx"
                else f"Build it with trained ones (`edgepose weights fetch {model.name}`, then "
                "--weights FILE)."
            )
            _log.warning(
                "warning: %s has random weights: what it finds means nothing. %s", model.name, way
            )


def refuse_weights_without_detector(arguments: argparse.Namespace) -> None:
    """Raises UsageError; to be asked before anything is built."""
    from edgepose.errors import UsageError

    if arguments.detector_weights and not arguments.detector:
        raise UsageError(
            "--detector-weights are given without a detector",
            hint="Name it: `--detector rtmdet-nano`.",
        )


def detector_of(arguments: argparse.Namespace, recipe: str | None = None) -> "Bundle | None":
    """The bundle that ``add_detector_options`` name, for this host; None where they name none."""
    if not arguments.detector:
        return None
    return bundle_for(arguments.detector, recipe=recipe, weights=arguments.detector_weights)


def pose_and_detector(arguments: argparse.Namespace) -> tuple["Bundle", "Bundle | None"]:
    """The bundles that ``add_pipeline_options`` name, built where they are missing.

    Raises UsageError where they do not belong together.
    """
    from edgepose.errors import UsageError

    refuse_weights_without_detector(arguments)
    recipe = recipe_of(arguments)
    pose = bundle_for(arguments.model, recipe=recipe, weights=arguments.weights)
    detector = detector_of(arguments, recipe)
    task = pose.manifest.model.task
    if task not in ("top-down", "bottom-up"):
        raise UsageError(
            f"{arguments.model} finds no poses: its task is {task!r}",
            hint="Name a pose model; an ONNX file says its task in a TOML beside it (examples/).",
        )
    if detector and detector.manifest.model.task != "detection":
        raise UsageError(
            f"{arguments.detector} is no detector: its task is {detector.manifest.model.task!r}",
            hint="Name one that finds people, such as rtmdet-nano.",
        )
    if detector and task == "bottom-up":
        raise UsageError(
            f"{arguments.model} finds all people by itself, so --detector does not apply",
            hint="Leave --detector out.",
        )
    if task == "top-down" and not detector:
        print("note: without --detector one person is looked for in all of it", file=sys.stderr)
    warn_of_seeded_weights(pose, detector)
    return pose, detector
