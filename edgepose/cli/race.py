"""``edgepose race MODEL``: which recipe makes the fastest proven bundle for a device."""

import argparse
from pathlib import Path

from edgepose.cli.common import Commands, add_measuring, print_json, print_notes
from edgepose.errors import RunError


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser("race", help="which recipe makes the fastest proven bundle")
    parser.add_argument("model", help="a name of the zoo, or the path of an ONNX file")
    parser.add_argument("--target", help="kind of hardware (default: the device's)")
    parser.add_argument(
        "--recipe",
        action="append",
        dest="recipes",
        metavar="RECIPE",
        help="only this one, and others given like it (default: all that the target allows)",
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="safetensors or checkpoint")
    parser.add_argument(
        "--untrained",
        action="store_true",
        help="the weights are not trained: prove in tensor space only",
    )
    add_measuring(parser, budget_s=None, bound_on="the timed part", default="5m for every recipe")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from edgepose.bench.race import race
    from edgepose.report.comparisons import render_race

    found = race(
        arguments.model,
        arguments.target,
        arguments.device,
        recipes=arguments.recipes,
        weights=arguments.weights,
        untrained=arguments.untrained,
        threads=arguments.threads,
        budget_s=arguments.budget,
    )
    print_notes(found.contest.verdict.notes)
    if arguments.json:
        print_json(found)
    else:
        print(render_race(found))
    return 0 if found.contest.verdict.valid else RunError.exit_code
