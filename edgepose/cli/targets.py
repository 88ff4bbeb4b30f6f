"""``edgepose targets [NAME]``: the kinds of hardware."""

import argparse

from edgepose.cli.common import Commands, add_json, print_fields, print_json, print_table


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser("targets", help="list the targets, or show one")
    parser.add_argument("name", nargs="?", help="a target's name, such as rpi4")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from edgepose.targets import list_targets, load_target

    if not arguments.name:
        targets = [load_target(name) for name in list_targets()]
        if arguments.json:
            print_json(targets)
            return 0
        rows = [
            [t.name, t.title, t.arch, t.cpu.cores, t.recipes.default, t.power.label]
            for t in targets
        ]
        print_table(["target", "hardware", "arch", "cores", "default recipe", "power"], rows)
        return 0
    target = load_target(arguments.name)
    if arguments.json:
        print_json(target)
        return 0
    cpu, gpu = target.cpu, target.gpu
    clock = f", {cpu.max_clock_mhz} MHz" if cpu.max_clock_mhz else ""
    print_fields(
        [
            ("target", f"{target.name}: {target.title}"),
            ("CPU", f"{cpu.name}: {cpu.cores} cores{clock}, {target.arch}"),
            ("fast cores", ", ".join(map(str, cpu.fast_cores))),
            ("ISA features", ", ".join(cpu.isa) or "-"),
            ("GPU", f"{gpu.name} ({gpu.api})" if gpu else "-"),
            ("memory", f"{target.memory_mib} MiB"),
            ("system", f"{target.system.os}, {target.system.libc or 'libc unknown'}"),
            ("python", target.system.python or "none"),
            (
                "runtimes",
                [
                    f"{name} {runtime.version}"
                    + (f", opset up to {runtime.max_opset}" if runtime.max_opset else "")
                    for name, runtime in target.runtimes.items()
                ]
                or "-",
            ),
            ("recipes", f"{', '.join(target.recipes.allowed)}; default {target.recipes.default}"),
            ("power", target.power.label),
            ("sources", [f"{what}: {where}" for what, where in target.sources.items()] or "-"),
            ("notes", list(target.notes) or "-"),
        ]
    )
    return 0
