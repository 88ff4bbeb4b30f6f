"""``edgepose models [NAME] [--ops]``: the zoo."""

import argparse
from collections.abc import Iterable
from itertools import groupby
from textwrap import shorten
from typing import TYPE_CHECKING

from edgepose.cli.common import Commands, add_json, print_fields, print_json, print_table

if TYPE_CHECKING:
    from edgepose.graph.costs import Costs
    from edgepose.zoo import ModelSpec, WeightsSource

_COLUMNS = 120


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser("models", help="list the models, or show one")
    parser.add_argument("name", nargs="?", help="a model's name, such as litepose-xs")
    parser.add_argument(
        "--ops", action="store_true", help="count the model NAME: stages, operators, memory"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from edgepose.errors import UsageError
    from edgepose.zoo import model_spec, zoo

    if arguments.ops and not arguments.name:
        raise UsageError("--ops needs the name of a model", hint="See `edgepose models`.")
    if arguments.ops:
        found = _costs(model_spec(arguments.name))
        print_json(found) if arguments.json else _print_costs(found)
    elif arguments.name:
        spec = model_spec(arguments.name)
        print_json(spec) if arguments.json else print_fields(_fields(spec))
    elif arguments.json:
        print_json(list(zoo().values()))
    else:
        _print_families(zoo().values())
    return 0


def _print_families(specs: Iterable["ModelSpec"]) -> None:
    headers = ["model", "data set", "input", "params", "publ.", "MACs", "paper's", "publ.", "AP"]
    for family, members in groupby(specs, key=lambda spec: spec.family):
        models = list(members)
        tool = _tool(models[0])
        print(shorten(f"{family}: {models[0].title}", _COLUMNS, placeholder=" …"))
        print_table(headers, [_row(spec) for spec in models])
        print(f"paper's = MACs as {tool} counts them\n" if tool else "")
    print(
        "MACs are true multiply-accumulates of one forward; publ. and AP are the papers' figures."
    )


def _row(spec: "ModelSpec") -> list[str]:
    published = spec.published
    return [
        spec.name,
        spec.dataset,
        f"{spec.input.height}×{spec.input.width}" if spec.input else "",
        _millions(spec.parameters),
        f"{published.parameters_m:g} M" if published.parameters_m else "-",
        _billions(spec.macs),
        _billions(spec.paper_macs),
        f"{published.gmacs:g} G" if published.gmacs else "-",
        f"{published.ap.value}" if published.ap else "-",
    ]


def _fields(spec: "ModelSpec") -> list[tuple[str, object]]:
    published, size = spec.published, spec.input
    ap = published.ap
    return [
        ("model", spec.name),
        ("family", f"{spec.family}: {spec.title}"),
        ("task", spec.task),
        ("key points", f"{spec.keypoints} ({spec.dataset})" if spec.keypoints else "none"),
        ("input", f"1×3×{size.height}×{size.width} {size.color}, {size.fit}" if size else "-"),
        ("outputs", ", ".join(spec.outputs)),
        ("decoder", spec.decoder.__struct_config__.tag if spec.decoder else "-"),
        ("parameters", _parameters(spec.parameters or 0, published.parameters_m)),
        ("MACs", _macs(spec.macs or 0, spec.paper_macs, _tool(spec), published.gmacs)),
        ("accuracy", f"AP {ap.value} on {ap.dataset} ({ap.note})" if ap else "none published"),
        ("weights", [_weights_line(weights) for weights in spec.weights] or "none published"),
        ("source", f"{spec.source} ({spec.license})"),
        ("notes", list(published.notes) or "-"),
    ]


def _costs(spec: "ModelSpec") -> "Costs":
    from edgepose.engines.packages import check_packages
    from edgepose.errors import ToolchainError

    status = check_packages("torch", "onnx", "onnxslim", extra="torch")
    if not status.available:
        raise ToolchainError(
            f"counting {spec.name} needs {', '.join(status.missing)}, which this host lacks",
            hint=status.fix,
        )
    from edgepose.graph.costs import costs

    return costs(spec.name)


def _print_costs(found: "Costs") -> None:
    from edgepose.zoo import model_spec

    graph = found.graph
    spec = model_spec(found.model)
    print_fields(
        [
            ("model", found.model),
            ("parameters", _parameters(found.parameters, spec.published.parameters_m)),
            (
                "MACs",
                _macs(found.macs, found.paper_macs, found.paper_rule, spec.published.gmacs),
            ),
            ("weights", f"{graph.weight_bytes / 2**20:.2f} MiB, float32, batch norms folded"),
            (
                "activations",
                [
                    f"{graph.peak_bytes / 2**20:.2f} MiB at the peak, {graph.peak_at}",
                    "float32, all live tensors with input and outputs, none in place, no weights",
                ],
            ),
        ]
    )
    print()
    print_table(
        ["stage", "parameters", "MACs", "share", "output"],
        [
            [
                stage.name,
                f"{stage.parameters:,}",
                f"{stage.macs / 1e6:,.2f} M",
                f"{stage.macs / found.macs:.1%}",
                "×".join(map(str, stage.output)),
            ]
            for stage in found.stages
        ],
    )
    nodes = sum(graph.operators.values())
    print(f"\n{nodes} nodes after simplification (ONNX opset {found.opset}):")
    print_table(["operator", "nodes"], list(graph.operators.items()))


def _parameters(true: int, published_m: float | None) -> str:
    return f"{true:,} true" + (f", {published_m:g} M published" if published_m else "")


def _macs(true: int, paper: int | None, tool: str | None, published_g: float | None) -> list[str]:
    lines = [f"{true / 1e9:.4f} G true"]
    if paper and tool:
        lines.append(f"{paper / 1e9:.4f} G as {tool} counts, the tool behind the paper")
    if published_g:
        lines.append(f"{published_g:g} G published")
    return lines


def _tool(spec: "ModelSpec") -> str | None:
    from edgepose.zoo import family_of

    rule = family_of(spec).counting
    return rule.tool if rule else None


def _millions(number: int | None) -> str:
    return f"{number / 1e6:.2f} M" if number else "-"


def _billions(number: int | None) -> str:
    return f"{number / 1e9:.3f} G" if number else "-"


def _weights_line(weights: "WeightsSource") -> str:
    return f"{weights.name}: {weights.url or f'cloud drive id {weights.drive_id}'}"
