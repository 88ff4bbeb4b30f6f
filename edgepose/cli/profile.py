"""``edgepose profile BUNDLE``: which layers, or which stages of the pipeline, take how long."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgepose.cli.common import Commands, add_json, positive, print_json, print_notes, print_table
from edgepose.errors import UsageError

if TYPE_CHECKING:
    from edgepose.bench.profile import LayerProfile
    from edgepose.bench.stage_budget import StageBudget, StageFigures

_PASSES, _FRAMES = 20, 50


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "profile", help="time a bundle's layers, or the pipeline's stages, on a device"
    )
    parser.add_argument("bundle", help="a bundle's folder")
    parser.add_argument("--device", default="local", help="a device's name (default: local)")
    parser.add_argument("--threads", type=positive, metavar="N", help="default: the target's")
    parser.add_argument(
        "--passes",
        type=positive,
        metavar="N",
        help=f"over all layers (default: {_PASSES}), or frames per process (default: {_FRAMES})",
    )
    parser.add_argument(
        "--top", type=positive, default=15, metavar="N", help="slowest layers shown (default: 15)"
    )
    parser.add_argument(
        "--stages",
        action="store_true",
        help="preprocess, network, decode and track instead of layers",
    )
    parser.add_argument("--detector", metavar="BUNDLE", help="with --stages: a detector's bundle")
    parser.add_argument(
        "--image",
        type=Path,
        metavar="FILE",
        help="with --stages: the picture to process (default: a shipped one)",
    )
    parser.add_argument(
        "--detect-every",
        type=positive,
        default=1,
        metavar="K",
        help="with --stages: frames from one run of the detector to the next (default: 1)",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if arguments.stages:
        return _run_stages(arguments)
    if arguments.detector or arguments.image or arguments.detect_every > 1:
        raise UsageError(
            "--detector, --image and --detect-every are about the stages of the pipeline",
            hint="Add --stages.",
        )
    return _run_layers(arguments)


def _run_stages(arguments: argparse.Namespace) -> int:
    from edgepose.bench.stages import stage_budget
    from edgepose.bundle import load_bundle

    found, path = stage_budget(
        load_bundle(arguments.bundle),
        arguments.device,
        load_bundle(arguments.detector) if arguments.detector else None,
        picture=arguments.image,
        detect_every=arguments.detect_every,
        threads=arguments.threads,
        frames=arguments.passes or _FRAMES,
    )
    if arguments.json:
        print_json(found)
    else:
        _print_stages(found)
        print(f"\nevery frame of {len(found.processes)} processes: {path}")
    print_notes(found.notes)
    return 0


def _run_layers(arguments: argparse.Namespace) -> int:
    from edgepose.bench.profile import profile
    from edgepose.bundle import load_bundle

    found, path = profile(
        load_bundle(arguments.bundle),
        arguments.device,
        threads=arguments.threads,
        passes=arguments.passes or _PASSES,
    )
    if arguments.json:
        print_json(found)
        return 0
    _print_layers(found, arguments.top)
    what = "every pass" if _has_passes(found) else "means of all passes"
    print(f"\nall {len(found.layers)} layers, {what}: {path}")
    return 0


def _print_stages(found: "StageBudget") -> None:
    from edgepose.bench.stage_budget import not_timed

    if found.emulated:
        print("EMULATED: neither times nor shares say anything about a device\n")
    nets = f"{found.detector} + {found.model}" if found.detector else found.model
    print(f"{nets} ({found.recipe}) on {found.device}, {found.threads} threads, per frame")
    if found.way == "python":
        print(f"{found.people:.1f} people in {found.picture}\n")
    else:
        print(f"one input, the golden {found.picture}; C++ runner\n")
    rows = [_row(one) for one in (*found.stages, found.total)]
    left_out = not_timed(found.stages, found.detector is not None)
    rows[-1:-1] = [[stage, "not timed", "", ""] for stage in left_out]
    print_table(["stage", "emulated ms" if found.emulated else "mean ms", "95 %", "share"], rows)


def _row(one: "StageFigures") -> list[str]:
    has_interval = one.ci_low_ms is not None and one.ci_high_ms is not None
    interval = f"{one.ci_low_ms:.3f} .. {one.ci_high_ms:.3f}" if has_interval else "n/a"
    return [one.stage, f"{one.mean_ms:.3f}", interval, f"{one.share:.1%}"]


def _print_layers(found: "LayerProfile", count: int) -> None:
    from edgepose.bench.profile import by_type, slowest

    total_ms = found.total_ms or 1.0
    if found.emulated:
        print("EMULATED: neither times nor shares say anything about a device\n")
    figure = "median" if _has_passes(found) else "mean"
    ms = "emulated ms" if found.emulated else f"{figure} ms"
    rows = [
        [layer.name, layer.type, f"{layer.median_ms:.3f}", f"{layer.median_ms / total_ms:.1%}"]
        for layer in slowest(found, count)
    ]
    print_table(["layer", "type", ms, "share"], rows)
    print()
    totals = [
        [kind, str(number), f"{sum_ms:.3f}", f"{sum_ms / total_ms:.1%}"]
        for kind, number, sum_ms in by_type(found)
    ]
    totals.append(["all", str(len(found.layers)), f"{found.total_ms:.3f}", "100.0%"])
    print_table(["type", "layers", ms.replace(figure, f"sum of {figure}s,"), "share"], totals)


def _has_passes(found: "LayerProfile") -> bool:
    """Whether the runtime tells the passes one by one, and not their mean alone."""
    return any(len(layer.ns) > 1 for layer in found.layers)
