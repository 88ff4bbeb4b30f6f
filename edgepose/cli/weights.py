"""``edgepose weights list|fetch|import|export``: published checkpoints and our own files."""

import argparse
from pathlib import Path

from edgepose.cli.common import Commands, add_json, print_json, print_table


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser("weights", help="list, fetch, import or export weights")
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")

    action = actions.add_parser("list", help="list the published checkpoints")
    action.add_argument("model", nargs="?", metavar="MODEL", help="only those of this model")
    add_json(action)
    action.set_defaults(run=run_list)

    action = actions.add_parser("fetch", help="download a published checkpoint, print its path")
    action.add_argument("model", metavar="MODEL", help="a name of the zoo")
    action.add_argument(
        "--weights",
        metavar="NAME",
        help="which one: its name or a part of it that only it has (default: the first)",
    )
    add_json(action)
    action.set_defaults(run=run_fetch)

    action = actions.add_parser("import", help="turn a checkpoint into safetensors, print its path")
    action.add_argument("model", metavar="MODEL", help="a name of the zoo")
    action.add_argument(
        "file", type=Path, metavar="FILE", help="a checkpoint, safetensors, or an ONNX export"
    )
    action.add_argument(
        "--into",
        type=Path,
        metavar="OUT",
        help="the new file (default: MODEL.safetensors in this folder)",
    )
    add_json(action)
    action.set_defaults(run=run_import)

    action = actions.add_parser("export", help="turn weights into a PyTorch state dict")
    action.add_argument("model", metavar="MODEL", help="a name of the zoo")
    action.add_argument("file", type=Path, metavar="WEIGHTS", help="the weights of the model")
    action.add_argument(
        "--into", type=Path, metavar="OUT", help="the new file (default: MODEL.pth in this folder)"
    )
    add_json(action)
    action.set_defaults(run=run_export)


def run_list(arguments: argparse.Namespace) -> int:
    from edgepose.weights.published import list_weights

    checkpoints = list_weights(arguments.model)
    if arguments.json:
        print_json(checkpoints)
        return 0
    rows = [
        [
            checkpoint.model,
            checkpoint.name,
            checkpoint.where,
            checkpoint.sha256_prefix or "-",
            "fetched" if checkpoint.fetched else "-",
        ]
        for checkpoint in checkpoints
    ]
    print_table(["model", "checkpoint", "where", "sha256", "state"], rows)
    return 0


def run_fetch(arguments: argparse.Namespace) -> int:
    from edgepose.weights.published import fetch_weights

    path = fetch_weights(arguments.model, arguments.weights)
    print_json({"path": path}) if arguments.json else print(path)
    return 0


def run_import(arguments: argparse.Namespace) -> int:
    from edgepose.graph.misfit import MisfitError
    from edgepose.weights.convert import import_weights

    try:
        path, provenance = import_weights(arguments.model, arguments.file, arguments.into)
    except MisfitError as error:
        if arguments.json:
            print_json({"misfit": error.misfit})  # all the keys; the error's text shows a few
        raise
    print_json({"path": path, "provenance": provenance}) if arguments.json else print(path)
    return 0


def run_export(arguments: argparse.Namespace) -> int:
    from edgepose.weights.convert import export_weights

    path = export_weights(arguments.model, arguments.file, arguments.into)
    print_json({"path": path}) if arguments.json else print(path)
    return 0
