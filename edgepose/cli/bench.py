"""``edgepose bench [MODEL|BUNDLE…]``: prove on the device, time there, print the table."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgepose.cli.common import (
    Commands,
    add_measuring,
    print_error,
    print_json,
)
from edgepose.errors import DeviceError, EdgePoseError, RunError, UsageError

if TYPE_CHECKING:
    from edgepose.bench.record import Record


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser("bench", help="prove and time bundles on a device")
    parser.add_argument(
        "what",
        nargs="*",
        metavar="MODEL|BUNDLE",
        help="a zoo name, an ONNX file or a bundle's folder; a missing bundle is built; "
        "none: every bundle below ./build for the device's target",
    )
    parser.add_argument("--recipe", help="how to compile what is built (default: the target's)")
    parser.add_argument(
        "--profile",
        choices=("paper", "trust", "p99"),
        default="trust",
        help="how much to measure (default: trust)",
    )
    add_measuring(parser, budget_s=300.0, bound_on="one cell's timed part", default="5m")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from edgepose.devices.inventory import find_device
    from edgepose.evaluate.store import evaluations_of
    from edgepose.report.tables import render, rows

    target = find_device(arguments.device).target
    records, codes = [], []
    for what in arguments.what or _built_for(target, arguments.device):
        try:
            records.append(_measure(what, target, arguments))
        except EdgePoseError as error:
            print_error(error)
            codes.append(error.exit_code)
            if isinstance(error, DeviceError):
                break  # it is the device's, not this cell's: the next one would fail alike
    if arguments.json:
        print_json(records)
    elif records:
        evaluations = evaluations_of({record.bundle_id for record in records})
        print(render(rows(records, evaluations), "text"))
    if not all(record.verdict.valid for record in records):
        codes.append(RunError.exit_code)
    return codes[0] if codes else 0


def _measure(what: str, target: str, arguments: argparse.Namespace) -> "Record":
    """One cell; what was refused or noted goes to stderr."""
    from edgepose.bench.session import bench
    from edgepose.build import build
    from edgepose.bundle import load_bundle

    is_bundle = Path(what).is_dir()
    bundle = load_bundle(what) if is_bundle else build(what, target, arguments.recipe)
    record = bench(
        bundle,
        arguments.device,
        arguments.profile,
        threads=arguments.threads,
        budget_s=arguments.budget,
    )
    for word, texts in (("refused", record.verdict.reasons), ("note", record.verdict.notes)):
        for text in texts:
            print(f"{word}: {record.model} ({record.recipe}): {text}", file=sys.stderr)
    return record


def _built_for(target: str, device: str) -> list[str]:
    """Every bundle for ``target`` below ./build. Raises UsageError where there is none."""
    from edgepose.bundle import MANIFEST

    found = sorted(Path("build").glob(f"*/{target}-*/{MANIFEST}"))
    if not found:
        raise UsageError(
            f"there is no bundle for {target} below ./build",
            hint=f"Name a model: `edgepose bench litepose-xs --device {device}`.",
        )
    return [str(path.parent) for path in found]
