"""``edgepose compare A B``: which of two bundles is faster on a device."""

import argparse

from edgepose.cli.common import Commands, add_measuring, print_json, print_notes
from edgepose.errors import RunError


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser("compare", help="which of two bundles is faster on a device")
    parser.add_argument("a", metavar="A", help="a bundle's folder: what is compared against")
    parser.add_argument("b", metavar="B", help="a bundle's folder: is it faster or slower?")
    add_measuring(parser, budget_s=600.0, bound_on="the timed part", default="10m")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from edgepose.bench.compare import compare
    from edgepose.bundle import load_bundle
    from edgepose.report.comparisons import render_comparison

    found = compare(
        load_bundle(arguments.a),
        load_bundle(arguments.b),
        arguments.device,
        threads=arguments.threads,
        budget_s=arguments.budget,
    )
    print_notes(found.contest.verdict.notes)
    if arguments.json:
        print_json(found)
    else:
        print(render_comparison(found))
    return 0 if found.contest.verdict.valid else RunError.exit_code
