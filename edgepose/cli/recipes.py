"""``edgepose recipes [NAME]``: how models are compiled."""

import argparse

from edgepose.cli.common import Commands, add_json, print_fields, print_json, print_table


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser("recipes", help="list the recipes, or show one")
    parser.add_argument("name", nargs="?", help="a recipe's name, such as ncnn-fp16")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from edgepose.recipes import list_recipes, load_recipe

    if not arguments.name:
        recipes = [load_recipe(name) for name in list_recipes()]
        if arguments.json:
            print_json(recipes)
            return 0
        rows = [[r.name, r.engine, r.precision, r.title] for r in recipes]
        print_table(["recipe", "engine", "precision", "what it is"], rows)
        return 0
    recipe = load_recipe(arguments.name)
    if arguments.json:
        print_json(recipe)
        return 0
    tensor, keypoint = recipe.gates.tensor, recipe.gates.keypoint
    print_fields(
        [
            ("recipe", f"{recipe.name}: {recipe.title}"),
            ("engine", recipe.engine),
            ("precision", recipe.precision),
            ("opset", f"up to {recipe.max_opset}"),
            ("options", [f"{name} = {value}" for name, value in recipe.options.items()] or "-"),
            (
                "tensor gate",
                f"max relative error {tensor.max_relative_error}, mean "
                f"{tensor.mean_relative_error}, cosine at least {tensor.min_cosine}",
            ),
            (
                "key-point gate",
                f"mean drift {keypoint.max_mean_drift_px} px, max {keypoint.max_drift_px} px, "
                f"OKS at least {keypoint.min_oks}",
            ),
            ("notes", list(recipe.notes) or "-"),
        ]
    )
    return 0
