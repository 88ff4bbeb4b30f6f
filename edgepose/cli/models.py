"""``edgepose models [NAME]``: the zoo."""

import argparse

from edgepose.cli.common import Commands, add_json, print_fields, print_json, print_table


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser("models", help="list the models, or show one")
    parser.add_argument("name", nargs="?", help="a model's name, such as litepose-xs")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from edgepose.zoo import ModelSpec, model_spec, zoo

    if arguments.name:
        spec = model_spec(arguments.name)
        print_json(spec) if arguments.json else print_fields(_fields(spec))
        return 0
    if arguments.json:
        print_json(list(zoo().values()))
        return 0

    def row(spec: ModelSpec) -> list[str]:
        published = spec.published
        return [
            spec.name,
            spec.task,
            spec.dataset,
            f"{spec.input.height}×{spec.input.width}" if spec.input else "",
            f"{(spec.parameters or 0) / 1e6:.2f} M",
            f"{(spec.macs or 0) / 1e9:.3f} G",
            f"{published.gmacs} G" if published.gmacs else "-",
            f"{published.ap.value}" if published.ap else "-",
        ]

    headers = ["model", "task", "data set", "input", "parameters", "MACs", "MACs publ.", "AP publ."]
    print_table(headers, [row(spec) for spec in zoo().values()])
    return 0


def _fields(spec: "ModelSpec") -> list[tuple[str, object]]:  # type: ignore[name-defined]  # noqa: F821
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
        ("parameters", _beside(f"{spec.parameters:,}", published.parameters_m, "M")),
        ("MACs", _beside(f"{(spec.macs or 0) / 1e9:.4f} G", published.gmacs, "G")),
        ("accuracy", f"AP {ap.value} on {ap.dataset} ({ap.note})" if ap else "none published"),
        ("weights", [_weights_line(weights) for weights in spec.weights] or "none published"),
        ("source", f"{spec.source} ({spec.license})"),
        ("notes", list(published.notes) or "-"),
    ]


def _beside(true: str, published: float | None, unit: str) -> str:
    return f"{true} true, {published} {unit} published" if published else f"{true} true"


def _weights_line(weights: "WeightsSource") -> str:  # type: ignore[name-defined]  # noqa: F821
    return f"{weights.name}: {weights.url or f'cloud drive id {weights.drive_id}'}"
