"""``edgepose build MODEL``: make a proven bundle."""

import argparse
from pathlib import Path

from edgepose.cli.common import Commands, add_json, print_json
from edgepose.cli.proofs import proof_lines, rescue_lines, tuning_line


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser("build", help="make a self-contained, proven bundle")
    parser.add_argument("model", help="a name of the zoo, or the path of an ONNX file")
    parser.add_argument("--target", default="host", help="kind of hardware (default: host)")
    parser.add_argument(
        "--recipe",
        help="how to compile (default: the target's own, or what was tuned on such a board); "
        "auto: the fastest in `edgepose race`",
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="safetensors or checkpoint")
    parser.add_argument(
        "--untrained",
        action="store_true",
        help="the weights are not trained: prove in tensor space only",
    )
    parser.add_argument(
        "--golden", type=Path, metavar="DIR", help="prove on the images in this folder too"
    )
    parser.add_argument("-o", "--into", type=Path, metavar="DIR", help="where the bundle goes")
    parser.add_argument("--force", action="store_true", help="build again, whatever the cache has")
    parser.add_argument(
        "--allow-unproven", action="store_true", help="keep a bundle whose proof failed, marked so"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from edgepose.build import build

    bundle = build(
        arguments.model,
        arguments.target,
        arguments.recipe,
        arguments.weights,
        arguments.into,
        golden=arguments.golden,
        untrained=arguments.untrained,
        force=arguments.force,
        allow_unproven=arguments.allow_unproven,
    )
    if arguments.json:
        print_json({"folder": bundle.folder, "manifest": bundle.manifest})
        return 0
    size_mib = sum((bundle.folder / name).stat().st_size for name in bundle.manifest.files) / 2**20
    print(f"{bundle.folder}  ({size_mib:.1f} MiB, bundle {bundle.manifest.bundle_id})")
    manifest = bundle.manifest
    rescued = rescue_lines(manifest.rescue) if manifest.rescue else []
    tuned = [tuning_line(manifest)] if manifest.tuning else []
    for line in (*proof_lines(manifest.proof), *rescued, *tuned):
        print(line)
    return 0
