"""``edgepose profile BUNDLE``: which layers take how long on a device."""

import argparse
from typing import TYPE_CHECKING

from edgepose.cli.common import Commands, add_json, positive, print_json, print_table

if TYPE_CHECKING:
    from edgepose.bench.profile import LayerProfile


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser("profile", help="time a bundle's layers on a device, one by one")
    parser.add_argument("bundle", help="a bundle's folder")
    parser.add_argument("--device", default="local", help="a device's name (default: local)")
    parser.add_argument("--threads", type=positive, metavar="N", help="default: the target's")
    parser.add_argument(
        "--passes", type=positive, default=20, metavar="N", help="over all layers (default: 20)"
    )
    parser.add_argument(
        "--top", type=positive, default=15, metavar="N", help="slowest layers shown (default: 15)"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from edgepose.bench.profile import profile
    from edgepose.bundle import load_bundle

    found, path = profile(
        load_bundle(arguments.bundle),
        arguments.device,
        threads=arguments.threads,
        passes=arguments.passes,
    )
    if arguments.json:
        print_json(found)
        return 0
    _print(found, arguments.top)
    print(f"\nall {len(found.layers)} layers, every pass: {path}")
    return 0


def _print(found: "LayerProfile", count: int) -> None:
    from edgepose.bench.profile import by_type, slowest

    total_ms = found.total_ms or 1.0
    if found.emulated:
        print("EMULATED: neither times nor shares say anything about a device\n")
    ms = "emulated ms" if found.emulated else "median ms"
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
    print_table(["type", "layers", ms.replace("median", "sum of medians,"), "share"], totals)
