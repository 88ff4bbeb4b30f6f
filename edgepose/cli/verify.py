"""``edgepose verify BUNDLE``: re-hash and re-prove."""

import argparse
from pathlib import Path

from edgepose.cli.common import Commands, add_json, print_json
from edgepose.cli.proofs import proof_lines


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser("verify", help="hash a bundle again and prove it again")
    parser.add_argument("bundle", type=Path, help="a bundle's folder")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from edgepose.bundle import load_bundle, verify
    from edgepose.errors import ProofError

    bundle = load_bundle(arguments.bundle)
    proof = verify(bundle)
    if arguments.json:
        print_json({"folder": bundle.folder, "files": len(bundle.manifest.files), "proof": proof})
    else:
        print(f"{bundle.name}: {len(bundle.manifest.files)} files have their hashes")
        for line in proof_lines(proof):
            print(line)
    return 0 if proof.passed else ProofError.exit_code
